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
from tests.commanded import Told
from training import resume
from training.denoiser import __main__ as script
from training.denoiser import report
from training.denoiser.evaluate import measure

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


def fresh(shards: Path, folder: Path) -> Path:
    """Artifacts with those shards and no run."""
    folder.mkdir()
    for name in (LOW, HIGH, "tiny-classes"):
        (folder / name).symlink_to(shards / name)
    return folder


def told(command: str, artifacts: Path, *options: str, **variables: str) -> Told:
    """A command by what make exports."""
    known = {"ARTIFACTS": os.fspath(artifacts), "RECIPE": ""}
    return commanded.told(lambda: _work(command, options), known | variables)


def _work(command: str, options: tuple[str, ...]) -> None:
    if command == "resume":
        resume.resume()
    else:
        script.cli.main([command, *options], standalone_mode=False)


@contextlib.contextmanager
def quick(*, drawn: bool = False) -> Iterator[None]:
    """Without what takes minutes: scores and other denoisers; without pictures and sound."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "measure", functools.partial(measure, perceptual=False))
        patch.setattr(report, "peers", dict)
        patch.setattr(report, "absent", list)
        for name in () if drawn else ("history", "gains", "matrix"):
            patch.setattr(report.plots, name, _drawn)
        if not drawn:
            patch.setattr(report, "listen", lambda system, index, folder: folder / "index.html")
        yield


def _drawn(what: object, path: Path, **more: object) -> None:
    path.write_bytes(b"a picture")


def process(root: str, *, command: str = "train", fault: str = "", **variables: str) -> int:
    """A command without its report in a process of its own; see tests.trainings."""
    os.environ.update(dict.fromkeys(corpus.TRAINING, "") | variables)
    os.environ.update({"MELMILL_FAULT": fault, "ARTIFACTS": root})
    report.whole = lambda run, artifacts: ""  # type: ignore[assignment]
    return commanded.code(lambda: _work(command, ()))
