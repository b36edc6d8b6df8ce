"""The diarizer's commands, as make calls them: what they leave, say and refuse.

Reads small shards. Writes runs in pytest's folders.
"""

import csv
import functools
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("matplotlib")

from tests import corpus, diarizing, here, obeyed, trainings  # noqa: E402
from tests.commanded import Told  # noqa: E402
from tests.diarizing import HEARD, REAL, STEPS, TALKS, quick  # noqa: E402
from tests.here import fresh  # noqa: E402
from tests.obeyed import learnt, names  # noqa: E402
from training.data.index import Index, load_index  # noqa: E402
from training.diarizer import __main__ as script  # noqa: E402
from training.diarizer import report  # noqa: E402
from training.diarizer.baselines import NAMES  # noqa: E402
from training.diarizer.infer import Listener  # noqa: E402
from training.diarizer.train import Trained, trained  # noqa: E402
from training.engine.torch_export import load_onnx, load_script  # noqa: E402
from training.run import read_config, read_state  # noqa: E402

OF = diarizing.OF
told, folder = OF.told, OF.folder
TIMELINES = 3


@pytest.fixture(scope="module")
def made(
    diarizer_shards: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Path, dict[str, Told]]]:
    """Artifacts with the runs `a`, measured, and `b` of another head; what the first said."""
    artifacts = fresh(diarizer_shards, tmp_path_factory.mktemp("commands") / "artifacts")
    with quick(drawn=True):
        first = told("train", artifacts, EPOCHS="2", RUN="a")
    assert first.code == 0, first.err
    with quick():
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(report, "whole", unmeasured)
            assert told("train", artifacts, EPOCHS="1", RUN="b", HEAD="pit-bce").code == 0
        yield artifacts, {"a": first}


def unmeasured(run: Trained, artifacts: Path) -> str:
    """Stands in for the report of a run."""
    return f"{run.folder.name} is trained"


@pytest.fixture
def artifacts(made: tuple[Path, Any], diarizer_shards: Path, tmp_path: Path) -> Path:
    """The same, for one test alone."""
    mine = fresh(diarizer_shards, tmp_path / "artifacts")
    shutil.copytree(made[0] / "runs", mine / "runs")
    return mine


# ---- train -------------------------------------------------------------------------------------


def test_a_run_leaves_all_that_a_person_wants(made: tuple[Path, dict[str, Told]]) -> None:
    where = folder(made[0], "a")
    obeyed.assert_leaves_all(where, HEARD, ["errors"])
    lines = sorted(where.glob(f"timeline-{HEARD}-*.png"))
    assert len(lines) == TIMELINES
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in lines)
    assert {"cost.json", f"evaluation-{HEARD}.csv"} <= names(where)
    config = read_config(where)["config"]
    assert (config["recipes"], config["head"], config["known"]) == ([TALKS], "powerset", 5)
    with open(where / f"evaluation-{HEARD}.csv") as file:
        rows = list(csv.DictReader(file))
    assert {row["system"] for row in rows} == {"melmill", *NAMES}
    assert len({row["recording"] for row in rows}) == 4


def test_stdout_holds_the_table_and_stderr_how_it_went(made: tuple[Path, dict[str, Told]]) -> None:
    where, run = folder(made[0], "a"), made[1]["a"]
    assert f"{HEARD}, test: 4 recordings, 0:32, with " in run.out
    assert re.search(r"^melmill +\d", run.out, re.M)
    assert run.out.endswith(f"curves, tables, pictures and card: {where}\n")
    assert f"{where}: all epochs are done; {2 * STEPS} steps" in run.err
    assert "melmill  " not in run.err


def test_the_same_command_again_does_no_step(artifacts: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(OF.known, "EPOCHS", "2")  # type: ignore[arg-type]
        obeyed.assert_trains_nothing_again(OF, artifacts, 2 * STEPS, f"evaluation-{HEARD}.json")


def test_another_configuration_under_its_name_is_one_line(artifacts: Path) -> None:
    for more, said in (
        ({"EPOCHS": "3"}, "config.settings.epochs = 2; got 3"),
        ({"EPOCHS": "2", "SEED": "4"}, "config.settings.seed = 0; got 4"),
        ({"EPOCHS": "2", "HEAD": "pit-bce"}, "config.head = 'powerset'; got 'pit-bce'"),
        ({"EPOCHS": "2", "TEACHER": "a"}, "config.teacher.run = 'nothing'"),
    ):
        obeyed.assert_one_line(told("train", artifacts, RUN="a", **more), 2, said)


def test_without_a_name_what_determines_a_run_is_its_name(
    artifacts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "whole", unmeasured)
    obeyed.assert_named_by_what_determines_it(OF, artifacts)


def test_every_variable_reaches_the_configuration(
    artifacts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[dict[str, Any], str]] = []
    monkeypatch.setattr(script, "_train", lambda root, config, name: seen.append((config, name)))
    plain = {"PROFILE": "demo", "EPOCHS": "7", "BUDGET": "1h30m", "SEED": "3", "RUN": "mine"}
    assert told("train", artifacts, **plain).code == 0
    assert told("train", artifacts, **plain, INIT="a", TEACHER="a", AUGMENT="no").code == 0
    assert told("train", artifacts, HEAD="pit-bce", RECIPE=f"{TALKS},{REAL} {TALKS}").code == 0
    (config, name), (again, _), (other, _) = seen
    settings, started = config["settings"], again.pop("settings")
    assert (name, config["recipes"], config["head"]) == ("mine", [TALKS], "powerset")
    assert (settings["epochs"], settings["budget"], settings["seed"]) == (7, 5400, 3)
    assert started["rate"] < settings["rate"]
    assert started | {"rate": 0} == settings | {"rate": 0}
    assert again.pop("init")["run"] == again.pop("teacher")["run"] == "a"
    assert again == {k: v for k, v in config.items() if k != "settings"} | {"augment": None}
    assert (other["head"], other["recipes"]) == ("pit-bce", [TALKS, REAL])


@pytest.mark.parametrize(
    ("variables", "code", "said"),
    [
        ({"PROFILE": "best"}, 2, "PROFILE: no such profile; expected demo or original or optim"),
        ({"HEAD": "sigmoid"}, 2, "head: out of range; expected powerset or pit-bce; got sigmoid"),
        ({"EPOCHS": "0"}, 2, "'EPOCHS'.* 0 is not in the range"),
        ({"SEED": "-1"}, 2, "'SEED'.* -1 is not in the range"),
        ({"BUDGET": "soon"}, 2, "BUDGET: no time; expected such as 8h"),
        ({"AUGMENT": "perhaps"}, 2, "'AUGMENT'.*perhaps"),
        ({"RECIPE": ","}, 2, "RECIPE: no recipe; expected names"),
        ({"RECIPE": "conversations"}, 1, "conversations: no index. Run make features first"),
        ({"RUN": "a/b"}, 2, "not a name for a run"),
        ({"INIT": "nobody"}, 1, "no such run; expected one of diarizer/a, diarizer/b; got nobody"),
        ({"INIT": "b"}, 2, "b: a run to start from of another head; expected powerset; got pit-"),
        ({"TEACHER": "b"}, 2, "b: a teacher to learn from of another head"),
    ],
)
def test_a_wrong_value_is_one_line(
    made: tuple[Path, Any], variables: dict[str, str], code: int, said: str
) -> None:
    run = told("train", made[0], **variables)
    assert (run.code, run.out, len(run.err.splitlines())) == (code, "", 1)
    assert re.search(said, run.err)


def test_as_a_module() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "training.diarizer", "diarize"], cwd=corpus.REPO, text=True,
        env=corpus.environment({"SPEAKERS": "many", "IN": "a", "OUT": "b"}), capture_output=True,
        check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert "'SPEAKERS'" in done.stderr


def test_a_run_that_cannot_be_measured_is_finished_and_says_what_to_do(artifacts: Path) -> None:
    obeyed.assert_finished_though_not_measured(OF, artifacts, report, "measured")


# ---- resume ------------------------------------------------------------------------------------


def test_killed_at_a_step_and_gone_on_with(made: tuple[Path, Any], artifacts: Path) -> None:
    """As `a`, which nothing stopped."""
    shutil.rmtree(artifacts / "runs")
    start = functools.partial(trainings.alone, diarizing.process, artifacts)
    where, want = folder(artifacts, "a"), trainings.told(folder(made[0], "a"))
    variables = {"RECIPE": TALKS, "EPOCHS": "2", "RUN": "a"}
    assert start(fault=f"step:{2 * STEPS - 1}", **variables) == trainings.KILLED
    assert read_state(where)["state"] == "unfinished"
    assert start(command="resume") == 0
    assert f"going on from step {STEPS}" in Path(f"{artifacts}.log").read_text()
    assert trainings.told(where) == want


def test_back_to_a_checkpoint(made: tuple[Path, Any], artifacts: Path) -> None:
    obeyed.assert_back_to_a_checkpoint(OF, made[0], artifacts, STEPS, 2 * STEPS)


def test_a_finished_run_is_measured_again_and_learns_nothing_more(artifacts: Path) -> None:
    where = folder(artifacts, "a")
    before = here.stamps(where)
    (where / f"evaluation-{HEARD}.json").unlink()
    run = told("resume", artifacts, RUN="a")
    assert run.code == 0, run.err
    assert f"{HEARD}, test: 4 recordings" in run.out
    written = here.written(before, here.stamps(where))
    assert f"evaluation-{HEARD}.json" in written
    assert not learnt(written)
    assert "cost.json" not in written


# ---- evaluate, analyze -------------------------------------------------------------------------


def test_two_runs_side_by_side_and_what_they_cost(artifacts: Path) -> None:
    run = told("evaluate", artifacts, RUN="b, a")
    assert run.code == 0, run.err
    for name in ("a", "b", *NAMES):
        assert re.search(rf"^{re.escape(name)} +\d", run.out, re.M)
    assert "How much less DER b has than each" in run.out
    assert f"{HEARD}: what each of the others keeps of b" in run.out
    assert re.search(r"^a +16x1 +100 ms +\d", run.out, re.M)
    for name in "ab":
        file = folder(artifacts, name) / f"evaluation-{HEARD}.json"
        found = obeyed.finite(file.read_text())
        assert set(found["systems"]) == {"a", "b", *NAMES}
        assert found["ours"] == name  # each run's card tells of itself
        assert set(found["ahead"]) == {"a", "b", *NAMES} - {name}
        card = (folder(artifacts, name) / "MODEL.md").read_text()
        count = found["systems"][name]["parameters"]
        assert f"{count / 1e6:.3g} M parameters" in card.split("\n## ")[0]
    counts = [found["systems"][name]["parameters"] for name in "ab"]
    assert counts[0] != counts[1]


def test_on_another_recipe_and_into_the_card(artifacts: Path) -> None:
    said = f"{REAL}, test: 5 recordings, 0:31, with "
    files = {f"evaluation-{REAL}.csv", f"evaluation-{REAL}.json", f"errors-{REAL}.png"}
    obeyed.assert_measured_on_another(OF, artifacts, (HEARD, REAL), said, files)


def test_the_recipe_and_that_with_its_sound_are_one(artifacts: Path) -> None:
    run = told("evaluate", artifacts, RUN="a", ON=f"{TALKS} {HEARD}")
    assert run.code == 0, run.err
    assert run.out.count(", test: ") == 1


def test_without_its_sound_it_is_measured_by_what_is_stored(artifacts: Path) -> None:
    (artifacts / HEARD).unlink()
    (folder(artifacts, "a") / f"evaluation-{HEARD}.json").unlink()
    run = told("evaluate", artifacts, RUN="a")
    assert run.code == 0, run.err
    assert f"{TALKS}, test: 4 recordings, 0:32" in run.out
    found = json.loads((folder(artifacts, "a") / f"evaluation-{TALKS}.json").read_text())
    assert found["systems"]["melmill"]["rtf"] is None


def test_other_shards_than_it_was_trained_on_are_warned_of(
    artifacts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of the recipe, though its test split is heard from another one."""

    def other(path: Path) -> Index:
        index = load_index(path)
        return here.dataclasses.replace(index, key="f" * 64) if path.name == TALKS else index

    assert "WARNING" not in told("evaluate", artifacts, RUN="a").err
    monkeypatch.setattr(report, "load_index", other)
    run = told("evaluate", artifacts, RUN="a")
    assert run.code == 0
    assert f"{TALKS}: built anew since a was trained, which may have learnt" in run.err


def test_pictures_that_were_deleted_are_drawn_again(
    made: tuple[Path, dict[str, Told]], artifacts: Path
) -> None:
    for path in folder(artifacts, "a").glob("timeline-*.png"):
        path.unlink()  # those are drawn of answers, and these are not kept
    obeyed.assert_draws_the_same_again(OF, made, artifacts, 2, functools.partial(quick, drawn=True))


# ---- any command -------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["evaluate", "analyze", "diarize", "export"])
def test_an_unknown_run_is_told_the_known_ones(
    made: tuple[Path, Any], tmp_path: Path, command: str
) -> None:
    more = {"IN": "x.wav", "OUT": "y.rttm"} if command == "diarize" else {}
    known = "diarizer/a, diarizer/b"
    obeyed.assert_known_runs_told(OF, command, made[0], tmp_path, known, **more)


def test_one_diarizer_at_a_time(made: tuple[Path, Any]) -> None:
    obeyed.assert_one_at_a_time(OF, "diarize", made[0], IN="x", OUT="y")


def test_a_run_without_a_scored_checkpoint_says_so(artifacts: Path) -> None:
    shutil.rmtree(folder(artifacts, "a") / "checkpoints")
    run = told("export", artifacts, RUN="a")
    assert (run.code, len(run.err.splitlines())) == (1, 1)
    assert "no checkpoint was scored yet" in run.err


# ---- export ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a", "b"])
def test_both_exports_answer_as_the_network_does(artifacts: Path, name: str) -> None:
    """Of sound of any length, as it answers for a window of a recording."""
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    where = folder(artifacts, name)
    run = told("export", artifacts, RUN=name)
    assert run.code == 0, run.err
    text = (where / "MODEL.md").read_text()
    listener = Listener(trained(where))
    random = np.random.default_rng(0)
    for file, load in (("model.onnx", load_onnx), ("model.torchscript.pt", load_script)):
        assert f"`{file}`" in text
        assert re.search(rf"{file}: \d+\.\d MB, loaded again: at most ", run.out)
        model = load((where / file).read_bytes())
        for samples in (1, 79, 80, 81, 799, 800, 801, 12_345, 64_000):
            wave = random.standard_normal((2, samples)).astype(np.float32) * 0.1
            found = model(wave)
            for at in range(2):
                said, _ = listener.answers(wave[at])
                assert found[at].shape == said.shape
                assert np.abs(found[at] - said).max() < 1e-4, samples
    assert f"how to use them: {where}/MODEL.md" in run.out
    before = (where / "MODEL.md").read_text()
    assert told("analyze", artifacts, RUN=name).code == 0
    assert (where / "MODEL.md").read_text() == before
