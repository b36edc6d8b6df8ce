"""The denoiser's batches: what they hold, and that only the epoch and the place decide it.

Reads and writes only in pytest's own folders.
"""

from typing import Any

import numpy as np
import pytest

from tests import corpus, here
from training.batches import Share
from training.index import Index, load_index
from training.mixing import Online
from training.torch_data import Mixtures, pairs

LOUD = here.changed(corpus.MIX, mix__values=[-20.0, 10.0])  # some have to be turned down
TEXTS = {
    "stored": here.changed(LOUD, name="stored"),
    "plan": here.changed(LOUD, name="plan", mix__materialise=False, output__fields=["clean"]),
    "level": here.changed(
        corpus.MIX,
        name="level", mix__kind="level", mix__values=[0.001, 0.3], audio__rate=16000,
        window__samples=8192, window__hop=8192,
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def indexes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Index]:
    root = tmp_path_factory.mktemp("mixtures")
    data = corpus.small_corpus(root / "data", 20)
    here.features(data, root / "artifacts", corpus.recipes(root, *TEXTS.values()))
    return {name: load_index(root / "artifacts" / name) for name in TEXTS}


def test_a_plan_is_mixed_to_the_bit_as_it_would_have_been_stored(indexes: dict[str, Index]) -> None:
    for split in ("train", "test"):
        stored = list(pairs(indexes["stored"], split, 4))
        mixed = list(pairs(indexes["plan"], split, 4))
        assert len(stored) == len(mixed) > 1
        for a, b in zip(stored, mixed, strict=True):
            assert set(a) == set(b)
            for name in a:
                assert a[name].dtype == b[name].dtype
                assert a[name].tobytes() == b[name].tobytes()


ONLINE = Online(room=1 << 20)


def epoch(
    indexes: dict[str, Index], names: str, number: int = 0, first: int = 0, **more: Any
) -> list[dict[str, np.ndarray]]:
    told = {"batch": 4, "online": ONLINE, "rate": 8000, "seed": 1} | more
    batch = told.pop("batch")
    mixtures = Mixtures([indexes[name] for name in names.split()], batch, **told)
    found = list(mixtures.epoch(number, first))
    assert len(found) == mixtures.steps - first
    return found


def same(a: list[dict[str, np.ndarray]], b: list[dict[str, np.ndarray]]) -> bool:
    assert len(a) == len(b) > 0
    return all(
        x.keys() == y.keys() and all(x[n].tobytes() == y[n].tobytes() for n in x)
        for x, y in zip(a, b, strict=True)
    )


@pytest.mark.parametrize("names", ["stored", "stored level"])
@pytest.mark.parametrize("online", [None, ONLINE])
def test_goes_on_exactly_from_any_step(
    indexes: dict[str, Index], names: str, online: Online | None
) -> None:
    whole = epoch(indexes, names, 3, online=online)
    assert len(whole) > 5
    for first in range(len(whole)):
        assert same(epoch(indexes, names, 3, first, online=online), whole[first:])


@pytest.mark.parametrize("online", [None, ONLINE])
def test_two_ranks_share_every_global_batch(
    indexes: dict[str, Index], online: Online | None
) -> None:
    alone = epoch(indexes, "stored level", 2, online=online, batch=4)
    ranks = [
        epoch(indexes, "stored level", 2, online=online, batch=2, share=Share(rank, 2))
        for rank in range(2)
    ]
    joined = [{n: np.concatenate([a[n], b[n]]) for n in a} for a, b in zip(*ranks, strict=True)]
    assert same(joined, alone)
