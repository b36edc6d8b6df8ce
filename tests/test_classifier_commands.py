"""The classifier's commands, as make calls them: what they leave, say and refuse.

Reads small shards. Writes runs in pytest's folders. The net here is as small as a net can be.
"""

import contextlib
import hashlib
import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf

pytest.importorskip("tensorflow")
pytest.importorskip("matplotlib")

from tests import classifying, corpus, here, obeyed, trainings  # noqa: E402
from tests.classifying import NAME  # noqa: E402
from tests.commanded import Script, Told, blank  # noqa: E402
from tests.here import fresh  # noqa: E402
from tests.obeyed import learnt, names  # noqa: E402
from tests.smallest import tiny  # noqa: E402
from training import durable, run  # noqa: E402
from training import report as of_runs  # noqa: E402
from training.classes import course, moments, report  # noqa: E402
from training.classifier import __main__ as script  # noqa: E402
from training.classifier import kind, profiles, train, use  # noqa: E402
from training.classifier.teacher import FILE  # noqa: E402
from training.data.index import load_index  # noqa: E402
from training.durable import hash_of  # noqa: E402
from training.engine import keras_ranks  # noqa: E402
from training.engine.checkpoint import Checkpoints, step_of  # noqa: E402
from training.errors import Changed  # noqa: E402
from training.run import opened, read_config, read_state  # noqa: E402

LOUD, WIDE, PLAIN = "tiny-other", "tiny-wide", "tiny-plain"
STEPS = 18  # of two epochs
PICTURES = ("confusion", "calibration", "classes")
DRAW = {"history": of_runs.history} | {name: getattr(report.plots, name) for name in PICTURES}
OF = Script("classifier", script.cli, {"RECIPE": NAME})
told, folder = OF.told, OF.folder

Made = tuple[Path, dict[str, Told]]


def _often(
    train: tuple[np.ndarray, np.ndarray], test: np.ndarray, classes: int, *rest: Any, **more: Any
) -> dict[str, np.ndarray]:
    """The majority alone."""
    counts = np.bincount(train[1], minlength=classes)
    return {"majority": np.tile(counts / counts.sum(), (len(test), 1))}


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    """A net of one layer, the majority as the only baseline, no pictures, one core."""
    demo = profiles.PROFILES["demo"]
    settings = replace(demo.settings, epochs=2, warmup=2, rate=0.01)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "make_net", tiny)
        patch.setattr(keras_ranks, "threads_fixed", lambda threads: None)  # other tests compute
        patch.setitem(
            profiles.PROFILES, "demo", replace(demo, backbone="mn", batch=8, settings=settings)
        )
        patch.setattr(report, "baselines", _often)
        patch.setattr(of_runs, "history", blank)
        for name in PICTURES:
            patch.setattr(report.plots, name, blank)
        yield


@contextlib.contextmanager
def drawn() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(of_runs, "history", DRAW["history"])
        for name in PICTURES:
            patch.setattr(report.plots, name, DRAW[name])
        yield


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of two classes: NAME, and three more that are cut or labelled otherwise."""
    root = tmp_path_factory.mktemp("classifier-commands")
    made, change = classifying.build(root), here.changed
    texts = (
        change(corpus.CLASSES, name=LOUD, window__hop=2048),
        change(corpus.CLASSES, name=WIDE, features__logmel__mels=40),
        change(corpus.CLASSES, name=PLAIN, output__fields=["logmel"], labels__kind="none"),
    )
    here.features(root / "data", made, corpus.recipes(root / "more", *texts))
    return made


@pytest.fixture(scope="module")
def made(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Artifacts with the runs `a`, `b` of another seed, and the folds `f`; what was said."""
    artifacts = fresh(shards, tmp_path_factory.mktemp("commands") / "artifacts")
    said = {}
    with drawn():
        said["a"] = told("train", artifacts, RUN="a")
    said["f"] = told("train", artifacts, RUN="f", FOLDS="2")
    said["b"] = told("train", artifacts, RUN="b", SEED="1")
    for one in said.values():
        assert one.code == 0, one.err
    return artifacts, said


@pytest.fixture
def artifacts(made: Made, shards: Path, tmp_path: Path) -> Path:
    """The same, for one test alone."""
    mine = fresh(shards, tmp_path / "artifacts")
    shutil.copytree(made[0] / "runs", mine / "runs")
    return mine


# ------------------------------------------------------------------ train


def test_a_run_leaves_all_that_a_person_wants(made: Made) -> None:
    where = folder(made[0], "a")
    obeyed.assert_leaves_all(where, NAME, PICTURES)
    config = read_config(where)["config"]
    assert (config["recipe"], config["settings"]["epochs"], config["fold"]) == (NAME, 2, None)
    found = json.loads((where / f"evaluation-{NAME}.json").read_text())
    assert set(found["systems"]) == {"a", "majority"}
    ours, often = (found["systems"][name]["macro_f1"]["mean"] for name in ("a", "majority"))
    assert ours > often
    assert f"{NAME}" in (where / "MODEL.md").read_text()


def test_stdout_holds_the_table_and_stderr_how_it_went(made: Made) -> None:
    artifacts, said = made
    where, one = folder(artifacts, "a"), said["a"]
    assert f"{NAME}, test: 24 clips of 2 classes" in one.out
    assert re.search(r"^a +\d", one.out, re.M)
    assert one.out.endswith(f"curves, tables, pictures and card: {where}\n")
    assert f"{where}: all epochs are done; {STEPS} steps" in one.err
    assert "majority" not in one.err


def test_the_same_command_again_trains_nothing(artifacts: Path) -> None:
    obeyed.assert_trains_nothing_again(OF, artifacts, STEPS, f"evaluation-{NAME}.json")


def test_without_a_name_what_determines_a_run_is_its_name(artifacts: Path) -> None:
    obeyed.assert_named_by_what_determines_it(OF, artifacts)


def test_another_configuration_under_its_name_is_one_line(artifacts: Path) -> None:
    for more, said in (
        ({"EPOCHS": "3"}, "config.settings.epochs = 2; got 3"),
        ({"SEED": "4"}, "config.settings.seed = 0; got 4"),
        ({"BACKBONE": "cnn"}, "config.backbone = 'mn'; got 'cnn'"),
        ({"FOLDS": "2"}, "a: the name is taken; expected FOLDS=2; got a run without folds"),
    ):
        obeyed.assert_one_line(told("train", artifacts, RUN="a", **more), 2, said)


def test_every_variable_reaches_the_configuration(
    artifacts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[dict[str, Any], str]] = []
    monkeypatch.setattr(
        course, "_alone", lambda kind, root, config, name: seen.append((config, name))
    )
    assert told("teacher", artifacts, RUN="b").code == 0
    start, answers = tmp_path / "w, 1.ckpt", folder(artifacts, "b") / FILE
    start.write_bytes(b"weights")
    plain = {"PROFILE": "best", "BACKBONE": "mn-small", "EPOCHS": "7", "BUDGET": "1h30m"} | {
        "AUGMENT": "no"
    }
    more = {"SEED": "3", "WEIGHTS": str(start), "TEACHER": f"{answers}, b", "RUN": "mine"}
    assert told("train", artifacts, RECIPE=WIDE, **plain).code == 0
    assert told("train", artifacts, **plain, **more).code == 0
    (wide, nameless), (config, name) = seen
    assert (wide["recipe"], wide["shape"], nameless) == (WIDE, [17, 40], "")
    assert (wide["start"], wide["teachers"]) == (None, [])
    settings = config["settings"]
    assert (name, config["recipe"], config["backbone"]) == ("mine", NAME, "mn-small")
    assert (settings["epochs"], settings["budget"], settings["seed"]) == (7, 5400, 3)
    assert settings["ema"] == profiles.PROFILES["best"].settings.ema
    assert config["augment"] is None
    assert config["start"] == [str(start), hashlib.sha256(b"weights").hexdigest()]
    assert config["teachers"] == [[str(answers), hash_of(answers)]] * 2


def test_folds_on_several_machines_are_refused_before_any_waits(
    artifacts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, value in trainings.KERAS.places(0, [1, 2]).items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setattr(train, "planned", None)  # it is not come to
    one = told("train", artifacts, FOLDS="3")
    obeyed.assert_one_line(one, 2, "several machines cannot train several runs")


def test_a_fold_whose_field_is_gone_says_what_to_do(artifacts: Path) -> None:
    said = "the shards were built anew since; expected a field gone; got .*RUN="
    with pytest.raises(Changed, match=said):
        moments.of_run(artifacts, {"fold": [1, 2], "recipe": NAME}, "gone")


@pytest.mark.parametrize(("folds", "runs"), [("0", 1), ("3", 3)])
def test_a_budget_is_shared_by_all_runs_of_a_training(
    artifacts: Path, monkeypatch: pytest.MonkeyPatch, folds: str, runs: int
) -> None:
    """Of which each is known again by the same command."""
    train = partial(told, "train", artifacts, FOLDS=folds, RUN="timed")
    plans = obeyed.assert_budget_is_shared(monkeypatch, partial(train, BUDGET="1h"), runs)
    with opened(artifacts, "classifier", plans[0].config, {}, name=f"timed{plans[0].end}"):
        pass
    assert train(BUDGET="1h").code == 0
    again = train(BUDGET="2h")
    obeyed.assert_one_line(again, 2, "config.settings.budget = 3600.0; got 7200.0")


@pytest.mark.parametrize(
    ("variables", "code", "said"),
    [
        ({"PROFILE": "bset"}, 2, "PROFILE: no such profile; expected demo or best or classic; got"),
        ({"BACKBONE": "resnet"}, 2, "BACKBONE: unknown value; expected cnn or .*got resnet"),
        ({"EPOCHS": "0"}, 2, "'EPOCHS'.* 0 is not in the range"),
        ({"FOLDS": "1"}, 2, "FOLDS: one fold leaves nothing to learn from; expected 2 or more"),
        ({"FOLDS": "-1"}, 2, "'FOLDS'.* -1 is not in the range"),
        ({"FOLDS": "31"}, 1, "fewer groups than folds; expected 31 or more; got 30"),
        ({"SEED": "x"}, 2, "'SEED'.* 'x' is not a valid integer"),
        ({"BUDGET": "soon"}, 2, "BUDGET: no time; expected such as 8h"),
        ({"RUN": "a/b"}, 2, "not a name for a run"),
        ({"RECIPE": "nois-classifier"}, 1, "nois-classifier: no index. Run make features first"),
        ({"RECIPE": f"{NAME}, {WIDE}"}, 2, "RECIPE: one recipe at a time; expected one name"),
        ({"RECIPE": PLAIN}, 1, f"{PLAIN} has no classes; expected a label. Name a recipe with"),
        ({"TEACHER": "nobody"}, 1, "no such run; expected one of classifier/a, classifier/b"),
        ({"TEACHER": "b"}, 1, "b/teacher.logits: that run has written no answers. Run make "
                              "teacher RUN=b first"),
        ({"WEIGHTS": "/none/x.h5"}, 1, "/none/x.h5: cannot be read: No such file"),
        ({"RUN": "new", "WEIGHTS": __file__}, 2, "no file of weights; expected a checkpoint of a"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_one_line(
    made: Made, tmp_path: Path, variables: dict[str, str], code: int, said: str
) -> None:
    one = told("train", made[0], **variables)
    lines = [line for line in one.err.splitlines() if not line.startswith("1 of 31: fold 1 of 31")]
    assert (one.code, one.out, len(lines)) == (code, "", 1), one.err
    assert re.search(said, one.err)
    shutil.rmtree(folder(made[0], "new"), ignore_errors=True)


def test_weights_of_another_run_are_where_it_begins(artifacts: Path) -> None:
    weights = Checkpoints(folder(artifacts, "b")).best()
    one = told("train", artifacts, RUN="on", WEIGHTS=str(weights), EPOCHS="1")
    assert one.code == 0, one.err
    assert f"arrays of {weights}, those of the last layer among them" in one.err


def test_a_run_that_cannot_be_measured_is_finished_and_says_what_to_do(artifacts: Path) -> None:
    obeyed.assert_finished_though_not_measured(OF, artifacts, report, "_ours")


# ------------------------------------------------------------------ folds


def test_folds_are_runs_of_their_own_and_one_table(made: Made) -> None:
    artifacts, said = made
    one, every = said["f"], folder(artifacts, "f-folds")
    assert f"{NAME}, 2 folds: 120 clips of 2 classes in 30 groups" in one.out
    assert one.out.endswith(f"tables and pictures: {every}\n")
    assert {f"evaluation-{NAME}.json", *(f"{name}-{NAME}.png" for name in PICTURES)} == names(every)
    for number in (1, 2):
        where = folder(artifacts, f"f-{number}of2")
        assert read_config(where)["config"]["fold"] == [number, 2]
        assert read_state(where)["state"] == "finished"
        assert {"MODEL.md", "training_history.png"} <= names(where)
        assert f"evaluation-{NAME}.json" not in names(where)
    found = json.loads((every / f"evaluation-{NAME}.json").read_text())
    assert set(found["systems"]) == {"f", "majority"}


def test_the_same_folds_again_train_nothing(artifacts: Path, made: Made) -> None:
    before = here.stamps(artifacts / "runs")
    again = told("train", artifacts, RUN="f", FOLDS="2")
    assert again.code == 0, again.err
    first = made[1]["f"].out.splitlines()[0]
    assert again.out.splitlines()[0] == first
    assert not learnt(here.written(before, here.stamps(artifacts / "runs")))


def test_folds_of_another_number_are_another_name(artifacts: Path) -> None:
    before = here.stamps(artifacts / "runs")
    for more, got in (({"FOLDS": "3"}, "FOLDS=3"), ({}, "FOLDS=0")):
        one = told("train", artifacts, RUN="f", **more)
        assert (one.code, len(one.err.splitlines())) == (2, 1)
        assert f"f: the name is taken; expected {got}; got 2 folds" in one.err
    assert here.stamps(artifacts / "runs") == before


@pytest.mark.parametrize("way", ["resume", "train"])
def test_an_interrupted_fold_goes_on_with_the_others(made: Made, artifacts: Path, way: str) -> None:
    """Stopped in the first of them, half done."""
    want = [trainings.told(folder(made[0], f"f-{k}of2")) for k in (1, 2)]
    for name in ("f-2of2", "f-folds"):
        shutil.rmtree(folder(artifacts, name))
    first = folder(artifacts, "f-1of2")
    (first / "MODEL.md").unlink()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kind, "KIND", replace(kind.KIND, train=_stopped))
        told("resume", artifacts, RUN="f-1of2", CHECKPOINT="6")
    assert read_state(first)["state"] == "unfinished"
    assert [step_of(path) for path in Checkpoints(first).all()] == [6]
    more = {} if way == "resume" else {"RUN": "f", "FOLDS": "2"}
    one = told(way, artifacts, **more)
    assert one.code == 0, one.err
    assert f"{first}: going on from step 6" in one.err
    assert f"{NAME}, 2 folds: 120 clips" in one.out
    assert [trainings.told(folder(artifacts, f"f-{k}of2")) for k in (1, 2)] == want
    assert names(folder(artifacts, "f-folds")) == names(folder(made[0], "f-folds"))
    assert all((folder(artifacts, f"f-{k}of2") / "MODEL.md").exists() for k in (1, 2))


def _stopped(root: Path, config: dict[str, Any], name: str, checkpoint: int) -> None:
    """What a run is that was killed right after it had gone back to a checkpoint."""
    with run.opened(root, "classifier", config, read_config(folder(root, name))["data"],
                    name=name) as opened:  # fmt: skip
        Checkpoints(opened.folder).go_back(checkpoint)
        opened.mark("unfinished")


def test_folds_that_were_not_measured_are_gone_on_with(artifacts: Path) -> None:
    for number in (1, 2):
        (folder(artifacts, f"f-{number}of2") / "MODEL.md").unlink()
    shutil.rmtree(folder(artifacts, "f-folds"))
    before = here.stamps(artifacts / "runs")
    one = told("resume", artifacts)
    assert one.code == 0, one.err
    assert f"{NAME}, 2 folds: 120 clips" in one.out
    assert not learnt(here.written(before, here.stamps(artifacts / "runs")))
    assert told("resume", artifacts).err.endswith("start one with make train-...\n".capitalize())


def test_a_fold_that_is_not_there_is_missed(artifacts: Path) -> None:
    shutil.rmtree(folder(artifacts, "f-1of2"))
    for command in ("evaluate", "teacher"):
        one = told(command, artifacts, RUN="f")
        assert (one.code, len(one.err.splitlines())) == (1, 1)
        assert "f: not all of the folds are there; got f-2of2. Make resume first" in one.err


# ------------------------------------------------------------------ teacher


def test_a_student_learns_from_what_a_teacher_wrote(made: Made, artifacts: Path) -> None:
    one = told("teacher", artifacts, RUN="b")
    path = folder(artifacts, "b") / FILE
    assert (one.code, one.out) == (0, f"{path}: answers for 76 examples\n")
    one = told("train", artifacts, RUN="student", TEACHER="b")
    assert one.code == 0, one.err
    student = folder(artifacts, "student")
    assert read_config(student)["config"]["teachers"] == [[str(path), hash_of(path)]]
    assert trainings.told(student)[0] != trainings.told(folder(artifacts, "a"))[0]
    again = told("train", artifacts, RUN="student", TEACHER=str(path))
    assert again.code == 0, again.err  # the same thing by its file
    path.write_bytes(path.read_bytes() + b"x")
    shutil.rmtree(student / "checkpoints")
    one = told("resume", artifacts, RUN="student")
    assert one.code == 2
    assert "a teacher's answers have changed since the run began" in one.err


def test_wrong_teachers_are_refused_before_there_is_a_run(artifacts: Path) -> None:
    for name in ("b", "f"):
        assert told("teacher", artifacts, RUN=name).code == 0
    paths = [folder(artifacts, f"f-{k}of2") / FILE for k in (1, 2)]
    assert all(path.is_file() for path in paths)
    for more, said in (
        ({"TEACHER": str(paths[0])}, "that has not learnt from all of these examples"),
        ({"TEACHER": "b", "FOLDS": "2"}, "no such run; expected one of .*; got b-1of2"),
        ({"TEACHER": "b", "RECIPE": WIDE}, "answers for other data"),
        ({"TEACHER": str(corpus.REPO / "Makefile")}, "Makefile"),
    ):
        one = told("train", artifacts, RUN="new", **more)
        assert one.code in (1, 2)
        assert len(one.err.splitlines()) == 1
        assert re.search(said, one.err), one.err
    assert not folder(artifacts, "new").exists()


def test_folds_learn_from_teachers_of_the_same_folds(artifacts: Path) -> None:
    assert told("teacher", artifacts, RUN="f").code == 0
    one = told("train", artifacts, RUN="s", TEACHER="f", FOLDS="2", EPOCHS="1")
    assert one.code == 0, one.err
    assert f"{NAME}, 2 folds: 120 clips" in one.out
    for number in (1, 2):
        ((path, _),) = read_config(folder(artifacts, f"s-{number}of2"))["config"]["teachers"]
        assert path == str(folder(artifacts, f"f-{number}of2") / FILE)
    shutil.rmtree(folder(artifacts, "s-2of2"))
    (folder(artifacts, "s-1of2") / "MODEL.md").unlink()
    assert told("resume", artifacts).code == 0  # finds the other fold's teacher by itself
    assert told("train", artifacts, RUN="s", TEACHER="f", FOLDS="2", EPOCHS="1").code == 0


# ------------------------------------------------------------------ evaluate, analyze


def test_two_runs_stand_side_by_side(artifacts: Path) -> None:
    obeyed.assert_side_by_side(OF, artifacts, f"evaluation-{NAME}.json", ("majority",))


def test_folds_beside_folds(artifacts: Path) -> None:
    for name in ("f-1of2", "f-2of2"):
        shutil.copytree(folder(artifacts, name), folder(artifacts, name.replace("f", "g", 1)))
    one = told("evaluate", artifacts, RUN="g f")
    assert one.code == 0, one.err
    assert re.search(r"^g +\d", one.out, re.M)
    assert one.out.endswith(f"tables and pictures: {folder(artifacts, 'g-folds')}\n")
    found = json.loads((folder(artifacts, "g-folds") / f"evaluation-{NAME}.json").read_text())
    assert found["ahead"]["f"]["macro_f1"]["mean"] == 0


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("f, a", "a: runs of other folds; expected .*1, 2.*; got .*. Compare like with like"),
        ("a, f", "f: runs of other folds"),
        ("a, f-1of2", "f-1of2: runs of other folds"),
        ("a, other", "a classifier of other classes; expected .*'hum', 'rain'.*'snow'"),
        ("a, wide", f"a classifier of other features; expected those of {NAME}; got .*{WIDE}"),
        ("a, nobody", "no such run; expected one of classifier/a, .*; got nobody"),
        ("a, /etc/x", "no such run"),
        ("*", "no such run"),
    ],
)
def test_what_cannot_be_compared(artifacts: Path, asked: str, said: str) -> None:
    heard = dict(load_index(artifacts / WIDE).recipe)
    for name, change in (("other", {"classes": ["hum", "snow"]}), ("wide", {"heard": heard})):
        shutil.copytree(folder(artifacts, "a"), folder(artifacts, name))
        facts = read_config(folder(artifacts, name))
        facts["config"] |= change
        durable.write_json(folder(artifacts, name) / "config.json", facts)
    one = told("evaluate", artifacts, RUN=asked)
    assert (one.code, one.out, len(one.err.splitlines())) == (one.code or 9, "", 1)
    assert re.search(said, one.err)


def test_names_that_begin_alike_are_no_folds(artifacts: Path) -> None:
    """Not even `a-proof`, or a run that a person has called so."""
    for name in ("a-proof", "a-1of2", "c-proof"):
        shutil.copytree(folder(artifacts, "b"), folder(artifacts, name))
    one = told("evaluate", artifacts, RUN="a")
    assert one.code == 0, one.err
    assert re.search(r"^a +\d", one.out, re.M)
    assert one.out.endswith(f"{folder(artifacts, 'a')}\n")
    assert "no such run" in told("evaluate", artifacts, RUN="c").err


def test_on_another_recipe_and_into_the_card(artifacts: Path) -> None:
    said, files = f"{LOUD}, test: ", {f"evaluation-{LOUD}.json", f"confusion-{LOUD}.png"}
    obeyed.assert_measured_on_another(OF, artifacts, (NAME, LOUD), said, files)


@pytest.mark.parametrize(
    ("on", "code", "said"),
    [(WIDE, 2, f"a classifier of other features; expected those of {WIDE}; got those of {NAME}"),
     (PLAIN, 1, f"{PLAIN} has no classes"), ("none", 1, "no index"),
     (f"{NAME},{LOUD}", 2, "ON: one recipe at a time; expected one name")],
)  # fmt: skip
def test_on_what_it_cannot_hear(made: Made, on: str, code: int, said: str) -> None:
    obeyed.assert_one_line(told("evaluate", made[0], RUN="a", ON=on), code, said)


def test_folds_on_their_own_recipe_are_tested_on_what_each_left_out(artifacts: Path) -> None:
    one = told("evaluate", artifacts, RUN="f", ON=NAME)
    assert one.code == 0, one.err
    assert f"{NAME}, 2 folds: 120 clips" in one.out


def test_shards_that_were_built_anew_are_warned_of(artifacts: Path) -> None:
    obeyed.assert_warned_of_other_shards(OF, artifacts, (report, use), ["teacher", "export"])


def test_analyze_draws_the_same_bytes_again(made: Made, artifacts: Path) -> None:
    obeyed.assert_draws_the_same_again(OF, made, artifacts, 4, drawn)


def test_analyze_of_folds_is_of_each(artifacts: Path) -> None:
    one = told("analyze", artifacts, RUN="f")
    assert one.code == 0, one.err
    assert [line.split("/")[-1] for line in one.out.splitlines()] == ["f-1of2", "f-2of2"]


@pytest.mark.parametrize("command", ["evaluate", "analyze", "classify", "export", "teacher"])
def test_an_unknown_run_is_told_the_known_ones(made: Made, tmp_path: Path, command: str) -> None:
    more = {"IN": "x.wav"} if command == "classify" else {}
    known = "classifier/a, classifier/b, classifier/f-1of2, classifier/f-2of2"
    obeyed.assert_known_runs_told(OF, command, made[0], tmp_path, known, **more)
    if command in ("classify", "export"):
        obeyed.assert_one_at_a_time(OF, command, made[0], **more)


# ------------------------------------------------------------------ classify, export


@pytest.fixture
def sounds(tmp_path: Path) -> Path:
    where = tmp_path / "sounds"
    where.mkdir()
    sf.write(where / "a b.wav", corpus.noise(3, 3.0, "rain"), corpus.RATE, "PCM_16")
    sf.write(where / "hum.flac", corpus.noise(41, 2.5, "hum"), corpus.RATE)
    return where


def test_recordings_are_told_with_the_last_run(made: Made, sounds: Path) -> None:
    one = told("classify", made[0], IN=str(sounds / "a b.wav"))
    assert one.code == 0, one.err
    assert one.err.startswith(f"with {folder(made[0], 'b')}\n")
    assert re.match(re.escape(f"{sounds}/a b.wav") + r"  3\.0 s  rain \d+ %, hum \d+ %", one.out)
    assert "0:00-0:03  rain" in one.out
    assert "classified 1 of 1 recording" in one.err


@pytest.mark.parametrize("text", ["yes", "1", "true", "on"])
def test_as_lines_of_json(made: Made, sounds: Path, text: str) -> None:
    one = told("classify", made[0], RUN="a", IN=str(sounds), JSON=text, TOP="1")
    assert one.code == 0, one.err
    rows = [json.loads(line) for line in one.out.splitlines()]
    assert [(row["path"], [name for name, _ in row["top"]]) for row in rows] == [
        (f"{sounds}/a b.wav", ["rain"]), (f"{sounds}/hum.flac", ["hum"]),
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["no", "0", "false", "off", ""])
def test_not_as_json(made: Made, sounds: Path, text: str) -> None:
    one = told("classify", made[0], RUN="a", IN=str(sounds / "hum.flac"), JSON=text)
    assert one.code == 0, one.err
    assert one.out.startswith(str(sounds))


def test_json_of_another_word_is_one_line(made: Made, sounds: Path) -> None:
    one = told("classify", made[0], IN=str(sounds), JSON="maybe")
    assert (one.code, one.out, len(one.err.splitlines())) == (2, "", 1)
    assert "'JSON'" in one.err
    assert "'maybe' is not a valid boolean" in one.err


def test_what_cannot_be_heard_is_told_by_the_exit_code(made: Made, sounds: Path) -> None:
    (sounds / "c.wav").write_bytes(b"<html>")
    one = told("classify", made[0], RUN="a", IN=str(sounds))
    assert one.code == 1
    assert "c.wav" in one.err
    assert "classified 2 of 3 recordings" in one.err
    assert told("classify", made[0], RUN="a", IN=str(sounds / "none.wav")).code == 1


@pytest.mark.slow
def test_an_export_is_six_files_that_the_card_names(artifacts: Path) -> None:
    found = obeyed.assert_exported(OF, artifacts)
    assert found["names"] == ["hum", "rain"]
    assert all(row["difference"] < 1e-3 for row in found["exports"] if not row["int8"])


# ------------------------------------------------------------------ resume


def test_back_to_a_checkpoint(made: Made, artifacts: Path) -> None:
    obeyed.assert_back_to_a_checkpoint(OF, made[0], artifacts, 9, 18)


def test_the_last_run_may_be_a_fold(artifacts: Path) -> None:
    told("resume", artifacts, RUN="f-2of2")
    one = told("evaluate", artifacts)
    assert one.code == 0, one.err
    assert one.out.endswith(f"card: {folder(artifacts, 'f-2of2')}\n")
