"""Small denoising recipes, and the denoiser's commands in this process, as make calls them.

Reads nothing. Does: builds recipes of two rates from a corpus of seconds, runs commands with the
variables that make exports. Writes: shards and runs, where it is told.
"""

import contextlib
import functools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import commanded, corpus, here
from tests.commanded import Script
from training.denoiser import __main__ as script
from training.denoiser import report
from training.denoiser.evaluate import measure

OF = Script("denoiser", script.cli, {"RECIPE": ""}, own=True)
LOW, HIGH = "tiny-mix", "tiny-high"  # 8 and 16 kHz
TEXTS = (
    corpus.MIX,
    here.changed(
        corpus.MIX, name=HIGH, mix__kind="level", mix__values=[0.01, 0.1], audio__rate=16000,
        window__samples=8192, window__hop=8192,
    ),
    corpus.CLASSES,
)  # fmt: skip


def build(root: Path) -> Path:
    """The shards, to be read only: LOW and HIGH have 66 mixtures to train with, 38 and 28 more."""
    data = corpus.small_corpus(root / "data", 24)
    here.features(data, root / "artifacts", corpus.recipes(root, *TEXTS))
    return root / "artifacts"


@contextlib.contextmanager
def quick(*, drawn: bool = False) -> Iterator[None]:
    """Without what takes minutes: scores and other denoisers; without pictures and sound."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "measure", functools.partial(measure, perceptual=False))
        patch.setattr(report, "peers", dict)
        patch.setattr(report, "absent", list)
        for name in () if drawn else ("history", "gains", "matrix"):
            patch.setattr(report.plots, name, commanded.blank)
        if not drawn:
            patch.setattr(report, "listen", lambda system, index, folder: folder / "index.html")
        yield


def process(root: str, *, command: str = "train", fault: str = "", **variables: str) -> int:
    """A command without its report in a process of its own; see tests.trainings."""
    os.environ.update(dict.fromkeys(corpus.TRAINING, "") | variables)
    os.environ.update({"MELMILL_FAULT": fault, "ARTIFACTS": root})
    report.whole = lambda run, artifacts: ""  # type: ignore[assignment]
    return commanded.code(lambda: OF.work(command))
