"""melmill's pipeline: from a folder of audio to sealed shards, and features as a library.

from pipeline import extract
for one in extract(["a.wav", "b.mp3"], recipe="noise-classifier"):
    print(one.path, one.shapes if one.ok else one.reason)
"""

from typing import Any


def __getattr__(name: str) -> Any:
    """`extract` on first use: a worker that imports one stage does not load them all."""
    if name == "extract":
        from pipeline.library import extract

        return extract
    raise AttributeError(name)
