"""The denoiser's commands, as make calls them: what they leave, say and refuse.

Reads small shards. Writes runs in pytest's folders.
"""

import csv
import functools
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
import soundfile as sf

torch = pytest.importorskip("torch")
pytest.importorskip("matplotlib")

from tests import corpus, denoising, here, obeyed, trainings  # noqa: E402
from tests.commanded import Told  # noqa: E402
from tests.denoising import HIGH, LOW, quick  # noqa: E402
from tests.here import fresh  # noqa: E402
from tests.obeyed import learnt, names  # noqa: E402
from training import models  # noqa: E402
from training.data.index import Index, load_index  # noqa: E402
from training.denoiser import __main__ as script  # noqa: E402
from training.denoiser import report  # noqa: E402
from training.denoiser.systems import identity  # noqa: E402
from training.denoiser.train import Trained, trained  # noqa: E402
from training.engine.checkpoint import Checkpoints, step_of  # noqa: E402
from training.errors import Changed, RunError  # noqa: E402
from training.run import main, read_config, read_state  # noqa: E402
from training.runs import CARD  # noqa: E402

STEPS = 8  # of two epochs
DRAW = {name: getattr(report.plots, name) for name in ("history", "gains")}
told, folder = denoising.OF.told, denoising.OF.folder


@pytest.fixture(scope="module")
def made(
    denoising_shards: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Path, Told]]:
    """Artifacts with the runs `low`, `low2` of another seed, and `high`; what the first said."""
    artifacts = fresh(denoising_shards, tmp_path_factory.mktemp("commands") / "artifacts")
    with quick(drawn=True):
        first = told("train", artifacts, RECIPE=LOW, EPOCHS="2", RUN="low", SEED="0")
    assert first.code == 0, first.err
    with quick():
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(report, "whole", unmeasured)
            for name, recipe, seed in (("low2", LOW, "1"), ("high", HIGH, "")):
                more = {"RECIPE": recipe, "EPOCHS": "2", "RUN": name, "SEED": seed}
                assert told("train", artifacts, **more).code == 0
        yield artifacts, first


def unmeasured(run: Trained, artifacts: Path) -> str:
    """Stands in for the report of a run."""
    return f"{run.folder.name} is trained"


@pytest.fixture
def artifacts(made: tuple[Path, Told], denoising_shards: Path, tmp_path: Path) -> Path:
    """The same, for one test alone."""
    mine = fresh(denoising_shards, tmp_path / "artifacts")
    shutil.copytree(made[0] / "runs", mine / "runs")
    return mine


# ------------------------------------------------------------------ train


def test_of_many_mixtures_some_are_measured_and_it_is_said(
    artifacts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A corpus of hours has thousands: measuring all would take longer than to train."""
    monkeypatch.setattr(report, "MOST", 5)
    run = told("train", artifacts, RECIPE=LOW, EPOCHS="1", RUN="short")
    assert (
        f"{LOW}: 5 of 28 test mixtures are measured; make evaluate RUN=short takes all" in run.err
    )
    assert f"{LOW}, test: 5 mixtures" in run.out
    assert f"{LOW}, test: 28 mixtures" in told("evaluate", artifacts, RUN="short").out


def test_a_run_leaves_all_that_a_person_wants(made: tuple[Path, Told]) -> None:
    artifacts, run = made
    low = folder(artifacts, "low")
    assert {
        "config.json", "metrics.jsonl", "training_history.png", f"evaluation-{LOW}.json",
        f"evaluation-{LOW}.csv", f"gains-{LOW}.png", f"listen-{LOW}", "MODEL.md", "checkpoints",
        "state.json",
    } <= names(low)  # fmt: skip
    assert (low / f"listen-{LOW}" / "index.html").is_file()
    assert read_state(low)["state"] == "finished"
    config = read_config(low)["config"]
    assert (config["recipes"], config["settings"]["epochs"], config["arch"]) == ([LOW], 2, "spec")
    with open(low / f"evaluation-{LOW}.csv") as file:
        rows = list(csv.DictReader(file))
    assert {row["system"] for row in rows} == {"input", "melmill"}
    assert len({(r["source"], r["start"], r["kind"], r["level"]) for r in rows}) > 28


def test_stdout_holds_the_table_and_stderr_how_it_went(made: tuple[Path, Told]) -> None:
    artifacts, run = made
    low = folder(artifacts, "low")
    assert f"{LOW}, test: 28 mixtures" in run.out
    assert re.search(r"^melmill +-?\d", run.out, re.M)
    assert run.out.endswith(f"curves, tables, sound and card: {low}\n")
    assert f"{low}: all epochs are done; {STEPS} steps" in run.err
    assert f"listen: {low}/listen-{LOW}/index.html" in run.err
    assert "melmill  " not in run.err


def test_the_same_command_again_does_no_step(
    artifacts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "whole", unmeasured)
    low = folder(artifacts, "low")
    before = here.stamps(low)
    again = told("train", artifacts, RECIPE=LOW, EPOCHS="2", RUN="low", SEED="0")
    assert again.code == 0, again.err
    assert f"{STEPS} steps" in again.err
    written = here.written(before, here.stamps(low))
    assert not learnt(written)


def test_another_configuration_under_its_name_is_one_line(artifacts: Path) -> None:
    for more, said in (
        ({"EPOCHS": "3"}, "config.settings.epochs = 2; got 3"),
        ({"EPOCHS": "2", "SEED": "4"}, "config.settings.seed = 0; got 4"),
        ({"EPOCHS": "2", "INIT": "low2"}, "config.init.run = 'nothing'"),
    ):
        obeyed.assert_one_line(told("train", artifacts, RECIPE=LOW, RUN="low", **more), 2, said)


def test_without_a_name_what_determines_a_run_is_its_name(
    artifacts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "whole", unmeasured)
    obeyed.assert_named_by_what_determines_it(denoising.OF, artifacts, RECIPE=LOW)


def test_recipes_by_name_and_by_path_make_one_model_for_all(
    artifacts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {}
    monkeypatch.setattr(script, "_train", lambda root, config, name: asked.update(config))
    corpus.recipes(tmp_path / "own recipes", here.changed(corpus.MIX, name=HIGH))
    path = tmp_path / "own recipes" / f"{HIGH}.toml"
    path = path.rename(path.with_name("my, own.toml"))
    for text, found in (
        (str(path), [HIGH]),
        (f"{LOW},{HIGH}", [LOW, HIGH]),
        (f"{HIGH} {LOW}\n,{HIGH}", [HIGH, LOW]),
    ):
        assert told("train", artifacts, RECIPE=text).code == 0
        assert asked["recipes"] == found
    assert (asked["rate"], asked["arch"], asked["batch"]) == (8000, "spec", 16)  # of `demo`


def test_every_variable_reaches_the_configuration(
    artifacts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[dict[str, Any], str]] = []
    monkeypatch.setattr(script, "_train", lambda root, config, name: seen.append((config, name)))
    plain = {"PROFILE": "best", "ARCH": "spec", "EPOCHS": "7", "BUDGET": "1h30m", "SEED": "3"}
    for more in ({}, {"INIT": "low"}):
        assert told("train", artifacts, RECIPE=LOW, RUN="mine", **plain, **more).code == 0
    (config, name), (again, _) = seen
    settings, started = config["settings"], again.pop("settings")
    assert (name, config["arch"], config["recipes"]) == ("mine", "spec", [LOW])
    assert (settings["epochs"], settings["budget"], settings["seed"]) == (7, 5400, 3)
    assert again.pop("init")["run"] == "low"
    assert started["rate"] < settings["rate"]
    assert started | {"rate": 0} == settings | {"rate": 0}
    assert again | {"settings": settings} == config


def test_a_recipe_that_is_none(artifacts: Path, tmp_path: Path) -> None:
    path = tmp_path / "my.toml"
    run = told("train", artifacts, RECIPE=str(path))
    assert (run.code, len(run.err.splitlines())) == (2, 1)
    assert f"{path}: not a recipe with a name" in run.err


def test_shards_that_are_not_there_are_asked_for(artifacts: Path) -> None:
    run = told("train", artifacts, RECIPE="denoise-music")
    assert (run.code, run.out) == (1, "")
    assert run.err == f"{artifacts}/denoise-music: no index. Run make features first\n"


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"PROFILE": "bset"}, "PROFILE: no such profile; expected demo or small or best"),
        ({"ARCH": "unett"}, "arch: unknown value; expected unet or unet-small or spec"),
        ({"EPOCHS": "0"}, "'EPOCHS'.* 0 is not in the range"),
        ({"EPOCHS": "many"}, "'EPOCHS'.* 'many' is not a valid integer"),
        ({"SEED": "-1"}, "'SEED'.* -1 is not in the range"),
        ({"BUDGET": "soon"}, "BUDGET: no time; expected such as 8h"),
        ({"RECIPE": ","}, "RECIPE: no recipe; expected names"),
        ({"RUN": "a/b"}, "not a name for a run"),
        ({"INIT": "nobody"}, "no such run; expected one of denoiser/high, denoiser/low, "),
        ({"RECIPE": HIGH, "INIT": "low"}, "low: a network of another shape.* spec for 8000 Hz"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_one_line(
    made: tuple[Path, Told], variables: dict[str, str], said: str
) -> None:
    run = told("train", made[0], **{"RECIPE": LOW, **variables})
    assert run.code == (1 if "INIT" in variables and "nobody" in variables["INIT"] else 2)
    assert run.out == ""
    assert len(run.err.splitlines()) == 1
    assert re.search(said, run.err)


def test_as_a_module(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "training.denoiser", "evaluate"], cwd=corpus.REPO, text=True,
        env=corpus.environment({"LIMIT": "x"}), capture_output=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert "'LIMIT'" in done.stderr


# ------------------------------------------------------------------ what cannot be measured


def without_test(path: Path) -> Index:
    index = load_index(path)
    return here.dataclasses.replace(
        index, entries=tuple(s for s in index.entries if s.split != "test")
    )


def test_a_run_that_cannot_be_measured_is_finished_and_says_what_to_do(
    artifacts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:

    monkeypatch.setattr("training.data.index.load_index", without_test)
    run = told("train", artifacts, RECIPE=LOW, EPOCHS="1", RUN="blind")
    blind = folder(artifacts, "blind")
    assert (run.code, run.out) == (1, "")
    last = run.err.splitlines()[-1]
    assert last.startswith(f"{blind}: the run is finished, but not measured (")
    assert f"the test split of {LOW} is empty" in last
    assert "dd recordings of more speakers" in last
    assert last.endswith("Mend that, then make evaluate RUN=blind")
    assert read_state(blind)["state"] == "finished"
    assert {"training_history.png", "MODEL.md"} <= names(blind)
    assert "make evaluate" in (blind / "MODEL.md").read_text()
    monkeypatch.undo()
    assert told("evaluate", artifacts, RUN="blind").code == 0
    assert "Not yet" not in (blind / "MODEL.md").read_text()


def test_one_speaker_alone_trains_nothing_and_says_so(tmp_path: Path) -> None:
    data = corpus.small_corpus(tmp_path / "data", 24)
    text = (data / "melmill.csv").read_text()
    (data / "melmill.csv").write_text(re.sub(r",voice\d", ",voice0", text))
    here.features(data, tmp_path / "a", corpus.recipes(tmp_path, corpus.MIX))
    run = told("train", tmp_path / "a", RECIPE=LOW)
    assert (run.code, len(run.err.splitlines())) == (1, 1)
    assert "nothing to validate with" in run.err
    assert "Add recordings of more speakers" in run.err
    assert not (tmp_path / "a" / "runs").exists()


def test_nothing_to_train_with(tmp_path: Path) -> None:
    data = corpus.small_corpus(tmp_path / "data", 8)
    here.features(data, tmp_path / "a", corpus.recipes(tmp_path, corpus.MIX))
    run = told("train", tmp_path / "a", RECIPE=LOW)
    assert (run.code, len(run.err.splitlines())) == (1, 1)
    assert "too few examples for one batch" in run.err


# ------------------------------------------------------------------ resume


def test_killed_at_a_step_and_gone_on_with(made: tuple[Path, Told], artifacts: Path) -> None:
    """As `low`, which nothing stopped."""
    shutil.rmtree(artifacts / "runs")
    start = functools.partial(trainings.alone, denoising.process, artifacts)
    low, want = folder(artifacts, "low"), trainings.told(folder(made[0], "low"))
    variables = {"RECIPE": LOW, "EPOCHS": "2", "RUN": "low"}
    assert start(fault=f"step:{STEPS - 1}", **variables) == trainings.KILLED
    assert read_state(low)["state"] == "unfinished"
    assert start(command="resume") == 0
    assert "going on from step 4" in Path(f"{artifacts}.log").read_text()
    assert trainings.told(low) == want


def test_back_to_a_checkpoint(
    made: tuple[Path, Told], artifacts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "whole", unmeasured)
    low = folder(artifacts, "low")
    before = (low / "metrics.jsonl").read_bytes()
    run = told("resume", artifacts, RUN="low", CHECKPOINT="4")
    assert (run.code, run.out) == (0, "low is trained\n")
    assert f"{low}: going on from step 4" in run.err
    assert (low / "metrics.jsonl").read_bytes() != before  # the clock
    assert trainings.told(low) == trainings.told(folder(made[0], "low"))


def test_nothing_to_go_on_with_is_said(artifacts: Path, tmp_path: Path) -> None:
    for found in (artifacts / "runs").glob("*/*"):
        (found / CARD).touch()  # all of them were measured
    for where in (artifacts, tmp_path / "none"):
        run = told("resume", where)
        assert (run.code, run.out) == (0, "")
        assert run.err == f"{where}/runs: no run to go on with. Start one with make train-...\n"


@pytest.fixture
def resumed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Path, str, int]]:
    """What `resume` would train: the run's folder's place, its name, the step."""
    seen: list[tuple[Path, str, int]] = []

    def train(root: Path, config: dict[str, Any], name: str, checkpoint: int) -> None:
        assert config == read_config(folder(root, name))["config"]
        seen.append((root, name, checkpoint))

    monkeypatch.setattr(script, "_train", train)
    return seen


@pytest.mark.parametrize(
    ("text", "step"),
    [("", -1), ("4", 4), ("step-4", 4), ("step-000000008-best.ckpt", 8), ("0", 0),
     ("artifacts9/runs/denoiser/low2/checkpoints/step-000000004-best.ckpt", 4)],
)  # fmt: skip
def test_a_run_and_its_checkpoint_by_name(
    artifacts: Path, resumed: list[tuple[Path, str, int]], text: str, step: int
) -> None:
    for name in ("low", "denoiser/low"):
        run = told("resume", artifacts, RUN=name, CHECKPOINT=text)
        assert run.code == 0, run.err
        assert run.err == f"going on with {folder(artifacts, 'low')}\n"
        assert resumed.pop() == (artifacts, "low", step)


@pytest.mark.parametrize(
    ("variables", "code", "said"),
    [
        ({"CHECKPOINT": "4"}, 1, "CHECKPOINT: a checkpoint of no run. Say RUN= too"),
        ({"RUN": "low", "CHECKPOINT": "best"}, 2, "CHECKPOINT: not a checkpoint; expected a step"),
        ({"RUN": "low", "CHECKPOINT": "4.5"}, 2, "CHECKPOINT: not a checkpoint; expected a step"),
        ({"RUN": "low", "CHECKPOINT": "5"}, 1, "no such checkpoint; expected one of 4, 8; got 5"),
        ({"RUN": "lo"}, 1, "expected one of denoiser/high, denoiser/low, denoiser/low2; got lo"),
        ({"RUN": "other/low"}, 1, "no such run; expected one of denoiser/high, denoiser/low, "),
    ],
)
def test_what_cannot_be_gone_on_with(
    artifacts: Path, variables: dict[str, str], code: int, said: str
) -> None:
    before = here.stamps(artifacts / "runs")
    run = told("resume", artifacts, **variables)
    assert run.code == code
    assert said in run.err.splitlines()[-1]
    written = here.written(before, here.stamps(artifacts / "runs"))
    assert not [name for name in written if not name.endswith((".lock", "state.json"))]


def test_a_name_of_two_models_is_asked_for_in_full(
    artifacts: Path, resumed: list[tuple[Path, str, int]]
) -> None:
    shutil.copytree(folder(artifacts, "low"), artifacts / "runs" / "diarizer" / "low")
    run = told("resume", artifacts, RUN="low")
    assert run.code == 1
    assert "several such runs; expected one of denoiser/low, diarizer/low; got low" in (
        run.err.replace("diarizer/low, denoiser/low", "denoiser/low, diarizer/low")
    )
    assert told("resume", artifacts, RUN="denoiser/low").code == 0
    assert resumed


def test_where_torch_is_not_installed_it_is_asked_for(
    artifacts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> Any:
        raise ModuleNotFoundError("No module named 'torch'", name="torch")

    monkeypatch.setattr(models.importlib, "import_module", missing)
    run = told("resume", artifacts, RUN="low")
    assert run.code == 1
    assert run.err == (
        f"{folder(artifacts, 'low')}: torch is not installed. Run make torch, then make resume\n"
    )


def test_a_finished_run_is_measured_again_and_learns_nothing_more(artifacts: Path) -> None:
    low = folder(artifacts, "low")
    before = here.stamps(low)
    (low / f"evaluation-{LOW}.json").unlink()
    run = told("resume", artifacts, RUN="low")
    assert run.code == 0, run.err
    assert f"{LOW}, test: 28 mixtures" in run.out
    written = here.written(before, here.stamps(low))
    assert f"evaluation-{LOW}.json" in written
    assert not learnt(written)


# ------------------------------------------------------------------ evaluate, analyze


def test_two_seeds_of_one_kind_are_one_row_with_its_spread(artifacts: Path) -> None:
    run = told("evaluate", artifacts, RUN="low, low2")
    assert run.code == 0, run.err
    assert f"{LOW}, test: 28 mixtures" in run.out
    assert "on each recipe" not in run.out
    for name in ("low", "low2"):
        found = json.loads((folder(artifacts, name) / f"evaluation-{LOW}.json").read_text())
        assert found["systems"]["melmill"]["runs"] == 2
        assert found["systems"]["melmill"]["spread"]["gain"] > 0
    with open(folder(artifacts, "low2") / f"evaluation-{LOW}.csv") as file:
        assert {row["run"] for row in csv.DictReader(file)} == {"", "low", "low2"}
    assert not (folder(artifacts, "low") / "matrix.json").exists()


def test_runs_of_two_recipes_are_heard_on_each_others(artifacts: Path) -> None:
    run = told("evaluate", artifacts, RUN="low high", LIMIT="6")
    assert run.code == 0, run.err
    assert "of each network (down) on each recipe (across)" in run.out
    for name in ("low", "high"):
        cells = json.loads((folder(artifacts, name) / "matrix.json").read_text())["gains"]
        assert {n: set(row) for n, row in cells.items()} == {
            "low": {LOW, HIGH},
            "high": {LOW, HIGH},
        }
        assert cells["high"][HIGH]["rate"] == 16000
        assert {cells["low"][HIGH]["rate"], cells["high"][LOW]["rate"]} == {8000}
        assert (folder(artifacts, name) / "matrix.png").is_file()


def test_nets_of_two_kinds_are_not_averaged(artifacts: Path) -> None:
    """Though their recipe is the same one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "whole", unmeasured)
        assert told("train", artifacts, RECIPE=LOW, EPOCHS="1", RUN="short").code == 0
    run = told("evaluate", artifacts, RUN="low short", LIMIT="6")
    assert run.code == 0, run.err
    assert re.search(r"^low +[+-]\d", run.out, re.M)
    assert re.search(r"^short +[+-]\d", run.out, re.M)
    found = json.loads((folder(artifacts, "low") / f"evaluation-{LOW}.json").read_text())
    assert found["systems"]["melmill"]["runs"] == 1


def test_on_another_recipe_and_into_the_card(artifacts: Path) -> None:
    low = folder(artifacts, "low")
    assert f"### {HIGH}" not in (low / "MODEL.md").read_text()
    run = told("evaluate", artifacts, RUN="low", ON=HIGH, LIMIT="6")
    assert run.code == 0, run.err
    assert f"{HIGH}, test: 6 mixtures" in run.out
    assert f"evaluation-{HIGH}.csv" in names(low)
    text = (low / "MODEL.md").read_text()
    assert f"### {HIGH}" in text
    assert f"### {LOW}" in text
    run = told("evaluate", artifacts, RUN="low", ON=f"{LOW} {HIGH}", LIMIT="6")
    assert "on each recipe" in run.out
    assert (low / "matrix.png").is_file()


def test_other_shards_than_it_was_trained_on_are_warned_of(
    artifacts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:

    run = told("evaluate", artifacts, RUN="low", LIMIT="2")
    assert "WARNING" not in run.err
    other = functools.partial(here.dataclasses.replace, key="other")
    monkeypatch.setattr("training.data.index.load_index", lambda path: other(load_index(path)))
    run = told("evaluate", artifacts, RUN="low", LIMIT="2")
    assert run.code == 0
    assert f"{LOW}: built anew since low was trained" in run.err


def test_pictures_that_were_deleted_are_drawn_again(artifacts: Path) -> None:
    low = folder(artifacts, "low")
    pictures = {path.name for path in low.glob("*.png")}
    assert pictures == {"training_history.png", f"gains-{LOW}.png"}
    for path in (*low.glob("*.png"), low / "MODEL.md"):
        path.unlink()
    shutil.rmtree(low / "checkpoints")  # nothing is measured again
    with pytest.MonkeyPatch.context() as patch:
        for name, draw in DRAW.items():
            patch.setattr(report.plots, name, draw)
        run = told("analyze", artifacts, RUN="low")
    assert run.code == 0, run.err
    assert pictures | {"MODEL.md"} <= names(low)
    assert f"{LOW}, test: 28 mixtures" in run.out
    assert all((low / name).read_bytes().startswith(b"\x89PNG") for name in pictures)


def test_without_a_name_it_is_the_run_that_was_worked_on_last(
    artifacts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "whole", unmeasured)
    assert told("analyze", artifacts).out.endswith(f"card: {folder(artifacts, 'high')}\n")
    told("resume", artifacts, RUN="low2")
    assert told("analyze", artifacts).out.endswith(f"card: {folder(artifacts, 'low2')}\n")


@pytest.mark.parametrize("command", ["evaluate", "analyze", "denoise", "export"])
def test_an_unknown_run_is_told_the_known_ones(
    made: tuple[Path, Told], tmp_path: Path, command: str
) -> None:
    more = {"IN": "x.wav", "OUT": "y.wav"} if command == "denoise" else {}
    run = told(command, made[0], RUN="hihg", **more)
    assert (run.code, run.out, len(run.err.splitlines())) == (1, "", 1)
    known = "denoiser/high, denoiser/low, denoiser/low2"
    assert f"no such run; expected one of {known}; got hihg" in run.err
    run = told(command, tmp_path, **more)
    assert run.err == (
        f"{tmp_path}/runs: no finished run of a denoiser. Start one with make train-denoiser\n"
    )
    assert run.code == 1


def test_a_run_without_a_scored_checkpoint_says_so(artifacts: Path) -> None:
    shutil.rmtree(folder(artifacts, "low") / "checkpoints")
    run = told("export", artifacts, RUN="low")
    assert (run.code, len(run.err.splitlines())) == (1, 1)
    assert "no checkpoint was scored yet" in run.err


# ------------------------------------------------------------------ denoise, export


def test_a_stereo_recording_through_the_last_run(made: tuple[Path, Told], tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    wave = (0.1 * random.standard_normal((48000, 2))).astype(np.float32)
    sf.write(tmp_path / "a b.wav", wave, 48000)
    run = told("denoise", made[0], IN=str(tmp_path / "a b.wav"), OUT=str(tmp_path / "out.wav"))
    assert run.code == 0, run.err
    assert f"with {folder(made[0], 'high')}" in run.err
    assert "cleaned 1 of 1 recording" in run.err
    found, rate = sf.read(tmp_path / "out.wav")
    assert (found.shape, rate) == ((48000, 2), 48000)
    assert np.abs(found - wave).max() > 1e-3
    run = told("denoise", made[0], IN=str(tmp_path), OUT=str(tmp_path / "clean"), RUN="low")
    assert f"with {folder(made[0], 'low')}" in run.err
    assert names(tmp_path / "clean") == {"a b.wav", "out.wav"}


def test_what_cannot_be_cleaned_is_told_by_the_exit_code(
    made: tuple[Path, Told], tmp_path: Path
) -> None:
    (tmp_path / "x.wav").write_bytes(b"<html>")
    run = told("denoise", made[0], IN=str(tmp_path / "x.wav"), OUT=str(tmp_path / "y.wav"))
    assert run.code == 1
    assert "x.wav" in run.err
    run = told("denoise", made[0], IN=str(tmp_path / "x.wav"), OUT=str(tmp_path / "x.wav"))
    assert run.code == 1
    assert "would be overwritten" in run.err
    run = told("denoise", made[0], IN="x", OUT="y", RUN="low low2")
    assert (run.code, run.err) == (
        2, "RUN: one denoiser at a time; expected one name; got low low2\n",
    )  # fmt: skip


def test_both_exports_and_the_card_that_names_them(artifacts: Path) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    low = folder(artifacts, "low")
    assert "make export RUN=low" in (low / "MODEL.md").read_text()
    run = told("export", artifacts, RUN="low")
    assert run.code == 0, run.err
    text = (low / "MODEL.md").read_text()
    for name in ("model.onnx", "model.torchscript.pt"):
        assert (low / name).is_file()
        assert f"`{name}`" in text
        assert re.search(rf"{name}: \d+\.\d MB, loaded again: at most ", run.out)
    assert f"how to use them: {low}/MODEL.md" in run.out


# ------------------------------------------------------------------ any error is a line


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (RunError("a", "b"), 1, "b: a"), (Changed("a", "b"), 2, "b: a"),
        (click.BadParameter("odd\nvalue"), 2, "odd value"), (KeyboardInterrupt(), 130, "interrup"),
        (PermissionError(13, "Permission denied", "/x"), 1, "[Errno 13] Permission denied: '/x'"),
    ],
)  # fmt: skip
def test_what_stops_a_script_is_one_line(
    capsys: pytest.CaptureFixture[str], error: BaseException, code: int, said: str
) -> None:
    def work() -> None:
        raise error

    assert main(work) == code
    err = capsys.readouterr().err
    assert said in err
    assert len(err.splitlines()) == 1


def test_the_runs_of_these_tests_learn(made: tuple[Path, Told]) -> None:
    """Or all of the above would hold for a net that does nothing."""
    one = trained(folder(made[0], "low"))
    wave = np.random.default_rng(0).standard_normal((1, 4096)).astype(np.float32)
    with torch.no_grad():
        assert not np.allclose(
            one.net(torch.from_numpy(wave)).numpy(), identity(wave, 8000), atol=0.01
        )
    assert step_of(Checkpoints(one.folder).all()[-1]) == STEPS
    assert os.path.getsize(one.folder / "training_history.png") > 5000
