"""What cards are made of in tests, and what every card is held to.

Reads and writes nothing. Does: gives the facts of a run, its exports and its examples; finds a
card's sections; says whether a card is true to them.
"""

import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tests import corpus
from training.graph.usage import usage

COUNTS = {"mine": {"examples": {"train": 420, "valid": 60, "test": 120}}}
KEY = "0123456789abcdef" * 4

Card = Callable[..., str]


def facts(model: str, config: Mapping[str, Any], **versions: str) -> dict[str, Any]:
    return {
        "model": model,
        "config": dict(config),
        "data": {"mine": KEY},
        "setup": {"threads": 2, "ranks": 1},
        "versions": {**(versions or {"keras": "3.15.0"}), "python": "3.11.7"},
    }


def heard(rate: int, samples: int) -> dict[str, Any]:
    return {"audio": {"rate": rate}, "window": {"samples": samples}}


def exports(
    names: Sequence[str], measure: str, rate: int, samples: int, sizes: tuple[int, int], ms: float
) -> dict[str, Any]:
    """Two files that hear sound, the second in whole numbers: half a point is lost there."""
    row = {"input": "wave", "int8": False, "bytes": sizes[0], "ms": ms, "difference": 2.4e-07,
           "score": 0.93, "drop": 0.0, "agreement": 1.0}  # fmt: skip
    small = {"int8": True, "bytes": sizes[1], "drop": 0.005}
    return {
        "names": list(names), "measure": measure, "rate": rate, "samples": samples, "pad": "repeat",
        "exports": [
            {**row, "file": "model-audio.tflite"},
            {**row, "file": "model-audio-int8.tflite", **small},
        ],
    }  # fmt: skip


def opening(text: str) -> str:
    """What stands before the first section."""
    return text.split("\n## ")[0]


def section(text: str, name: str) -> str:
    return text.split(f"## {name}\n")[1].split("\n## ")[0]


def listed(text: str, name: str = "Configuration") -> list[str]:
    """A section's lines."""
    return [line for line in section(text, name).splitlines() if line]


def assert_usage_told(
    text: str, command: str, made: Mapping[str, Any], told: tuple[str, str]
) -> None:
    """The command, both exports with these sizes and times, and the example that they have."""
    use = section(text, "Use")
    assert f"    {command}" in use
    assert f"| `model-audio.tflite` | wave | {told[0]} | 2e-07 | none |" in use
    assert f"| `model-audio-int8.tflite` | wave | {told[1]} | 2e-07 | 0.5 points |" in use
    assert f"{made['measure']} lost" in use
    assert f"```python\n{usage(made).rstrip()}\n```" in use


def assert_export_is_asked_for(text: str) -> None:
    use = section(text, "Use")
    assert "`make export RUN=b7`" in use
    assert "python" not in use
    assert "onnxruntime" not in use


def assert_measured(card: Card, told: Mapping[str, Any], one: Any, table: Any) -> None:
    """What was measured stands there as it is printed; where nothing was, how it is."""
    text = section(card(told, {"mine": one}, "b7"), "Measured")
    assert f"### mine\n\n```\n{table(one).rstrip()}\n```" in text
    assert "`make evaluate`" in section(card(told, {}, "b7"), "Measured")


def assert_versions_and_day(
    card: Card, told: Mapping[str, Any], versions: str = "keras 3.15.0, python 3.11.7"
) -> None:
    text = section(card(told, {}, "b7", day="2001-02-03"), "Versions")
    assert f"Run `b7`: processes 1, threads 2; {versions}. " in text
    assert text.endswith("Card of 2001-02-03.\n")
    assert re.search(r"Card of 20\d\d-\d\d-\d\d\.", card(told, {}, "b7"))


def assert_read_without_tensorflow(*modules: str) -> None:
    code = (
        "import sys; sys.modules.update(dict.fromkeys(('tensorflow', 'keras', 'matplotlib')))\n"
        f"import {', '.join(modules)}"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                          cwd=corpus.REPO)  # fmt: skip
    assert done.returncode == 0, done.stderr
