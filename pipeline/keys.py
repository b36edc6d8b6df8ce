"""What a key is made of besides a task's own content: the code and the libraries that do the work.

Reads and writes no files but sources. Does: names the versions that a recipe's shards depend on,
the keys of a shard of noise and of labels, and the fingerprint that says whether anything changed
at all.
"""

from collections.abc import Sequence
from typing import Any

from pipeline import code, decode
from pipeline.corpus import Corpus
from pipeline.disk import store
from pipeline.recipe import Recipe
from pipeline.tracks import Track, samples

LIBRARIES = ("numpy", "scipy", "soxr", "librosa", "h5py", "google-crc32c")


def versions(recipe: Recipe) -> list[Any]:
    """What makes the numbers. The plan's own code is not in it: its outcome is in the key."""
    kinds = {recipe.features[name].kind for name in recipe.stored() if name in recipe.features}
    idle = set() if kinds else {"dsp.mel"}
    idle |= set() if "vector" in kinds else {"dsp.features"}
    idle |= set() if recipe.mix else {"dsp.mix", "dsp.noise", "tracks"}
    idle |= set() if recipe.conversation else {"talks"}
    made = code.version("shards", frozenset(idle))
    return [made, decode.decoder_version(), code.libraries(*LIBRARIES)]


def noise_key(tracks: Sequence[Track], recipe: Recipe) -> str:
    """Of a shard of noise: its rows are as long as a track, and hold a kind's place in the list and
    who is heard."""
    assert recipe.mix is not None
    idle = frozenset(
        {"examples", "schema", "talks", "dsp.features", "dsp.mel", "dsp.mix", "formats.tfrecord"}
    )
    made = [code.version("shards", idle), decode.decoder_version(), code.libraries(*LIBRARIES)]
    heard = [[t.id, t.groups] for t in tracks]
    return store.digest([heard, samples(recipe), recipe.mix.noises, made])


def label_scheme(recipe: Recipe) -> str:
    """What the labels of a recording depend on beside its sound."""
    made = [code.version("dsp.whose"), decode.decoder_version(), code.libraries(*LIBRARIES[:4])]
    return store.digest([vars(recipe.labels), vars(recipe.audio), made])


def fingerprint(recipe: Recipe, corpus: Corpus) -> str:
    """Equal when nothing that a recipe's shards depend on has changed."""
    made = [versions(recipe), label_scheme(recipe) if recipe.labels.generate else ""]
    return store.digest([recipe.resolved(), corpus.key, made, code.version("build")])
