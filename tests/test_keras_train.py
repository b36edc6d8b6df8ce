"""How a run of a TensorFlow model begins: whatever its shards, its memory and its name.

Reads nothing. Writes: shards and runs in pytest's folder. A run in a process of its own is held to
its exit code: what computes before threads are fixed ends it.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("tensorflow")

from tests import classifying, corpus, here, hybrids  # noqa: E402
from training.data.index import load_index  # noqa: E402
from training.engine import keras_ranks  # noqa: E402
from training.facts import called  # noqa: E402
from training.hybrid import train as hybrid  # noqa: E402
from training.run import opened, read_config  # noqa: E402


def test_a_run_begins_where_there_are_tfrecords_alone(tmp_path: Path) -> None:
    """Their labels are read by TensorFlow, before the run is."""
    root = classifying.build(tmp_path)
    text = here.changed(corpus.CLASSES, name="tiny-records", output__formats=["tfrecord"])
    here.features(tmp_path / "data", root, corpus.recipes(tmp_path / "more", text))
    asked = {"ARTIFACTS": os.fspath(root), "RECIPE": "tiny-records", "EPOCHS": "1"}
    command = [sys.executable, "-m", "training.classifier", "train"]
    done = subprocess.run(
        command, env=corpus.environment(asked), cwd=corpus.REPO, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (folder,) = (root / "runs" / "classifier").iterdir()
    assert "all epochs are done" in done.stderr
    assert (folder / "MODEL.md").exists()


def test_a_run_without_a_name_is_called_after_what_determines_it(tmp_path: Path) -> None:
    config, data = {"a": (1, 2), "log_steps": 5}, {"r": "key"}
    with opened(tmp_path, "toy", config, data) as run:
        facts = {"model": "toy", "config": config, "data": data}
        assert run.folder.name == called(facts)
    assert called({**facts, "config": {**config, "log_steps": 6}}) == called(facts)
    assert called({**facts, "config": {**config, "a": (1, 3)}}) != called(facts)
    assert called({**facts, "data": {"r": "other"}}) != called(facts)
    assert called(facts, ranks=2) != called(facts)


def test_how_a_batch_is_cut_is_in_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same command goes on with the same run, whatever memory is free by then."""
    monkeypatch.setattr(keras_ranks, "threads_fixed", lambda threads: None)  # other tests compute
    root = hybrids.build(tmp_path)
    profile = hybrids.small()
    index = load_index(root / hybrids.NAME)
    plan, name, _ = hybrid.planned(root, index.name, profile, 0, True, 0, "")
    assert {one.config["parts"] for one in plan} == {1}
    monkeypatch.setattr(hybrid.memory, "planned", lambda *told: hybrid.memory.Plan(9, 1, 2))
    cut, again, _ = hybrid.planned(root, index.name, profile, 0, True, 0, "")
    assert {one.config["parts"] for one in cut} == {2}
    assert again == name
    with opened(root, "hybrid", plan[0].config, {index.name: index.key}, name=f"{name}-raw"):
        pass
    later, _, _ = hybrid.planned(root, index.name, profile, 0, True, 0, "")
    begun = read_config(root / "runs" / "hybrid" / f"{name}-raw")["config"]
    assert {one.config["parts"] for one in later} == {1} == {begun["parts"]}
