"""A formula changed: exactly the data that hang on it are made again. A comment changed: nothing.

Reads a copy of the pipeline's sources. Does: edits one module at a time; in this process only the
versions are taken from the copy, in a process of its own the edited code runs. Writes in pytest's
folders.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline import code, cookbook, keys
from tests import corpus, here

MIX, NOISE, CLASSES, PACKS = "tiny-mix/[tv]*", "tiny-mix/noise-*", "tiny-classes/[tv]*", "pcm/*.pcm"
DEPENDS = {
    "dsp/mel": {CLASSES},
    "dsp/features": set[str](),  # no tiny recipe stores a vector
    "schema": {MIX, CLASSES},
    "dsp/mix": {MIX},
    "dsp/noise": {MIX, NOISE},
    "tracks": {MIX, NOISE},
    "rng": {MIX, NOISE},
    "examples": {MIX, CLASSES},
    "formats/hdf5": {MIX, NOISE, CLASSES},
    "formats/tfrecord": {MIX, CLASSES},
    "shards": {MIX, NOISE, CLASSES},
    "audio/pcm": {MIX, NOISE, CLASSES, PACKS},
    "audio/codecs": {MIX, NOISE, CLASSES, PACKS},
    "plan": set(),
    "build": set(),
    "layouts/recognise": set(),
    "layouts/splits": set(),
    "scan": set(),
    "cli": set(),
    "verify": set(),
    "casts": set(),
    "keys": set(),
    "talks": set(),  # no tiny recipe has conversations; the one below has
    "dsp/voice": set(),
    "dsp/room": set(),
    "demo/corpus": set(),
}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("code")
    corpus.small_corpus(root / "data")
    here.features(root / "data", root / "artifacts", corpus.recipes(root / "recipes"))
    return root


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the pipeline that versions are taken from."""
    copy = tmp_path / "checkout" / "pipeline"
    shutil.copytree(corpus.REPO / "pipeline", copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(code, "HERE", copy)
    _forget()
    yield copy
    _forget()


def _forget() -> None:
    code.version.cache_clear()
    code._parsed.cache_clear()


def _append(module: Path, text: str) -> None:
    module.write_text(module.read_text() + text)
    _forget()


def _again(base: Path, artifacts: Path) -> set[str]:
    before = here.stamps(artifacts)
    here.features(base / "data", artifacts, corpus.recipes(base / "recipes"))
    made = here.written(before, here.stamps(artifacts))
    return {name for name in made if not name.startswith(".cache")}


@pytest.mark.parametrize("module", DEPENDS)
def test_an_edit(base: Path, sources: Path, tmp_path: Path, module: str) -> None:
    artifacts = here.copy(base / "artifacts", tmp_path / "artifacts")
    assert _again(base, artifacts) == set()
    _append(sources / f"{module}.py", "\n_EDITED = 1\n")
    made = _again(base, artifacts)
    for kind in (MIX, NOISE, CLASSES, PACKS):
        names = {n for n in here.stamps(artifacts) if Path(n).match(kind)}
        names -= {n for n in names if kind == MIX and "noise-" in n}
        assert made & names == (names if kind in DEPENDS[module] else set()), (module, kind)
    assert here.verify(artifacts)[0] == 0
    assert _again(base, artifacts) == set()


@pytest.mark.parametrize("module", ["talks", "dsp/voice", "dsp/room"])
def test_conversations_alone_hang_on_how_they_are_made(sources: Path, module: str) -> None:
    """Neither other recipes nor the noise of conversations are made again."""
    (made,) = cookbook.load(["conversations"])
    others = [r for r in cookbook.load([]) if not r.conversation]
    before = keys.versions(made), [keys.versions(r) for r in others], keys.noise_key([], made)
    _append(sources / f"{module}.py", "\n_EDITED = 1\n")
    after = keys.versions(made), [keys.versions(r) for r in others], keys.noise_key([], made)
    assert before[0] != after[0]
    assert before[1:] == after[1:]


def test_a_comment_a_docstring_or_a_blank_line(base: Path, sources: Path, tmp_path: Path) -> None:
    artifacts = here.copy(base / "artifacts", tmp_path / "artifacts")
    for module in sources.rglob("*.py"):
        text = module.read_text()
        module.write_text("# a comment\n" + text.replace('"""', '"""Also: ', 1) + "\n\n# the end\n")
    _forget()
    assert _again(base, artifacts) == set()


def test_a_library_of_another_version(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifacts = here.copy(base / "artifacts", tmp_path / "artifacts")
    monkeypatch.setattr(code, "libraries", lambda *names: dict.fromkeys(names, "0.0"))
    made = _again(base, artifacts)
    assert not {n for n in made if n.startswith("pcm/")}
    assert {n for n in here.stamps(artifacts) if n.endswith((".h5", ".tfrecord"))} <= made


def test_an_edited_formula_reaches_the_numbers(base: Path, tmp_path: Path) -> None:
    """The edited checkout itself runs: a clean build by it gives what the second run gives."""
    checkout = tmp_path / "checkout"
    shutil.copytree(corpus.REPO / "pipeline", checkout / "pipeline")
    mel = checkout / "pipeline" / "dsp" / "mel.py"
    text = mel.read_text()
    assert text.count("0.5 - 0.5 * np.cos(") == 1
    mel.write_text(text.replace("0.5 - 0.5 * np.cos(", "0.54 - 0.46 * np.cos("))  # Hamming
    artifacts = here.copy(base / "artifacts", tmp_path / "artifacts")
    before = {p.name: p.read_bytes() for p in (artifacts / "tiny-mix").glob("*.h5")}
    shards = {p.name for p in (artifacts / "tiny-classes").glob("*.h5")}
    for place in ("artifacts", "clean"):
        args = ["features", "--data", base / "data", "--artifacts", tmp_path / place]
        done = subprocess.run(
            corpus.command([*args, "--recipe", corpus.recipes(base / "recipes"), "--jobs", 2]),
            cwd=checkout, env=corpus.environment() | {"PYTHONPATH": os.fspath(checkout)},
            capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    assert {p.name: p.read_bytes() for p in (artifacts / "tiny-mix").glob("*.h5")} == before
    assert not shards & {p.name for p in (artifacts / "tiny-classes").glob("*.h5")}
    assert corpus.tree_hash(artifacts) == corpus.tree_hash(tmp_path / "clean")
