"""The hybrid's commands, as make calls them: what they leave, say and refuse.

Reads small shards. Writes runs in pytest's folders. The nets here are as small as nets can be.
"""

import json
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.special
import sklearn.metrics
import soundfile as sf

tf = pytest.importorskip("tensorflow")
pytest.importorskip("matplotlib")

from tests import corpus, here, hybrids, obeyed, trainings  # noqa: E402
from tests.commanded import Script, Told, blank  # noqa: E402
from tests.here import fresh  # noqa: E402
from tests.hybrids import BARE, MUTE, NAME, NUMBERS, SAMPLES  # noqa: E402
from tests.obeyed import learnt, names  # noqa: E402
from training import report as of_runs  # noqa: E402
from training.classes import commands, course, report  # noqa: E402
from training.classes.parts import parts  # noqa: E402
from training.data.index import SPLITS, Index, load_index  # noqa: E402
from training.data.tf_data import narrow  # noqa: E402
from training.durable import read_json, write_json  # noqa: E402
from training.engine import keras_ranks  # noqa: E402
from training.engine.checkpoint import Checkpoints  # noqa: E402
from training.graph import compared  # noqa: E402
from training.graph.lite import load_lite  # noqa: E402
from training.graph.saved import load_saved  # noqa: E402
from training.graph.usage import FILES  # noqa: E402
from training.hybrid import __main__ as script  # noqa: E402
from training.hybrid import kind, net, profiles, train, use  # noqa: E402
from training.hybrid.profiles import VARIANTS  # noqa: E402
from training.run import read_config, read_metrics, read_state  # noqa: E402

PICTURES = ("confusion", "calibration", "classes")
PARTS = ("raw", "features", "unmixed")
VIEWED = ("a, 2 views", "a, 10 views")

OF = Script("hybrid", script.cli, {"RECIPE": NAME, "MAX_RAM": ""})
told, folder = OF.told, OF.folder

Made = tuple[Path, dict[str, Told]]


def _often(
    train: tuple[np.ndarray, np.ndarray], test: np.ndarray, classes: int, *rest: Any, **more: Any
) -> dict[str, np.ndarray]:
    """The majority alone."""
    assert train[0].shape[1:] == test.shape[1:] == (NUMBERS,)
    counts = np.bincount(train[1], minlength=classes)
    return {"majority": np.tile(counts / counts.sum(), (len(test), 1))}


def _unheard(wave: Any) -> Any:
    """In the place of its vectors."""
    return tf.zeros((tf.shape(wave)[0], NUMBERS))


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    """Nets of one stage, few changes, the majority as the only baseline, no pictures, one core, one
    epoch."""
    demo = hybrids.small(epochs=1)
    settings = replace(demo.settings, ema=0.0, clip=0.0)  # less to trace
    demo = replace(demo, augment={"crop": 0.5, "mix": 0.5}, settings=settings)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in hybrids.shrunk().items():
            patch.setattr(net, name, value)
        patch.setattr(keras_ranks, "threads_fixed", lambda threads: None)  # other tests compute
        patch.setitem(profiles.PROFILES, "demo", demo)
        patch.setattr(report, "baselines", _often)
        patch.setattr(of_runs, "history", blank)
        for name in PICTURES:
            patch.setattr(report.plots, name, blank)
        yield


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hybrids.build(tmp_path_factory.mktemp("hybrid-commands"), *hybrids.LACKING)


@pytest.fixture(scope="module")
def index(shards: Path) -> Index:
    return load_index(shards / NAME)


@pytest.fixture(scope="module")
def stored(index: Index) -> Mapping[str, np.ndarray]:
    """All examples, by position."""
    return narrow(index, SPLITS, ("wave", "vector", "label"))


@pytest.fixture(scope="module")
def made(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Artifacts with the run `a`, its variants, and the folds `f`; what was said."""
    artifacts, said = fresh(shards, tmp_path_factory.mktemp("commands") / "artifacts"), {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kind, "Vector", lambda *rest: _unheard)  # of its views: less to trace
        more = {"FOLDS": "2", "ABLATION": "no", "AUGMENT": "no"}
        said["f"] = told("train", artifacts, RUN="f", **more)
    said["a"] = told("train", artifacts, RUN="a")
    for one in said.values():
        assert one.code == 0, one.err
    return artifacts, said


@pytest.fixture
def artifacts(made: Made, shards: Path, tmp_path: Path) -> Path:
    """The same, for one test alone."""
    mine = fresh(shards, tmp_path / "artifacts")
    shutil.copytree(made[0] / "runs", mine / "runs")
    return mine


def rows(text: str) -> dict[str, list[str]]:
    """The table of what each part is worth, by its first column."""
    lines = re.split("\n\n|\n```", text.split("What each part is worth")[1])[1].splitlines()
    return {line[:24].strip(): line[24:].split() for line in lines}


# ---- train -------------------------------------------------------------------------------------


def test_a_run_leaves_all_that_a_person_wants_and_its_variants_their_part(made: Made) -> None:
    artifacts, _ = made
    assert names(artifacts / "runs" / "hybrid") == {
        "a", *(f"a-{part}" for part in PARTS), "f-1of2", "f-2of2", "f-folds"
    }  # fmt: skip
    for variant in VARIANTS:
        where = folder(artifacts, f"a-{variant}" if variant else "a")
        assert {"config.json", "metrics.jsonl", "checkpoints", "state.json", "MODEL.md",
                "training_history.png"} <= names(where)  # fmt: skip
        assert read_state(where)["state"] == "finished"
        config = read_config(where)["config"]
        assert (config["variant"], config["fold"], config["parts"]) == (variant, None, 1)
        assert (f"evaluation-{NAME}.json" in names(where)) == (not variant)
    pictures = {f"{name}-{NAME}.png" for name in PICTURES}
    assert pictures <= names(folder(artifacts, "a"))
    opened = {name: read_state(folder(artifacts, name))["opened"] for name in ("a", "a-raw")}
    assert opened["a-raw"] < opened["a"]  # it comes last: what is asked of no run is asked of it


def test_all_are_measured_beside_each_other(made: Made) -> None:
    artifacts, said = made
    found = read_json(folder(artifacts, "a") / f"evaluation-{NAME}.json")
    systems = {"a", *VIEWED, *(f"a-{part}" for part in PARTS), "majority"}
    assert set(found["systems"]) == systems
    assert found["ours"] == "a"
    out = said["a"].out
    assert f"{NAME}, test: " in out
    assert all(re.search(rf"^{name} +\d", out, re.M) for name in systems)
    assert out.endswith(f"curves, tables, pictures and card: {folder(artifacts, 'a')}\n")
    table = rows(out)
    for words, name in (
        ("raw only", "a-raw"), ("features only", "a-features"), ("fused", "a-unmixed"),
        ("fused, mixed", "a"), ("fused, mixed, 2 views", VIEWED[0]),
        ("fused, mixed, 10 views", VIEWED[1]),
    ):  # fmt: skip
        mean = 100 * found["systems"][name]["accuracy"]["mean"]
        assert float(table[words][0]) == pytest.approx(mean, abs=0.051)
    costs = {name: found["systems"][name]["parameters"] for name in ("a", "a-raw", "a-features")}
    assert costs["a"] > max(costs["a-raw"], costs["a-features"]) > 0


def test_memory_is_told_before_and_after(made: Made) -> None:
    err = made[1]["a"].err
    assert len(re.findall(r"^memory: .* expected, ceiling .* GB \(batch 8\)$", err, re.M)) == 1
    assert len(re.findall(r"^memory: .* GB at its peak$", err, re.M)) == 4
    assert "majority" not in err
    assert "Warning" not in err


def test_the_card_holds_the_table_and_no_number_that_is_none(made: Made) -> None:
    artifacts, said = made
    for name in ("a", "a-raw", "f-1of2"):
        card = (folder(artifacts, name) / "MODEL.md").read_text()
        assert not re.search(r"\b(nan|NaN|inf|None)\b", card)
        assert f"`{name}`" in card
        assert ("What each part is worth" in card) == (name == "a")
        if name == "a":
            assert rows(card) == rows(said["a"].out)


def test_what_was_learnt_is_what_was_judged_best(
    made: Made, index: Index, stored: Mapping[str, np.ndarray]
) -> None:
    """Of each variant, in its own net: by the examples that it was judged by, as they are stored,
    and scikit-learn."""
    held = parts(index, None)
    for variant, (branches, _) in VARIANTS.items():
        where = folder(made[0], f"a-{variant}" if variant else "a")
        one = train.best(where)
        assert [given.name for given in one.net.inputs] == list(branches)
        assert len(one.net.outputs) == 1
        given = [tf.constant(stored[name][held.valid]) for name in branches]
        likely = scipy.special.softmax(np.asarray(one.net(given, training=False), np.float64), -1)
        found = sklearn.metrics.log_loss(stored["label"][held.valid], likely, labels=[0, 1])
        (score,) = (row["loss"] for row in read_metrics(where) if row["kind"] == "valid")
        assert found == pytest.approx(score, rel=1e-4)
        assert "best" in Checkpoints(where).best().name
        assert (one.folder, one.fold, one.config["recipe"]) == (where, None, NAME)


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Nothing is measured anew: what would be is told by name."""
    asked: list[str] = []

    def evaluation(kind: Any, sets: Any, root: Path, on: str = "") -> str:
        asked.extend(each.name for one in sets for each in (one, *kind.beside(one)))
        return "measured"

    monkeypatch.setattr(report, "evaluation", evaluation)
    return asked


def test_the_same_command_again_trains_nothing_whatever_memory_there_is(
    artifacts: Path, measured: list[str]
) -> None:
    before = here.stamps(artifacts / "runs")
    again = told("train", artifacts, RUN="a", MAX_RAM="1MB")
    assert (again.code, again.out) == (0, "measured\n"), again.err
    assert again.err.count("all epochs are done") == 4
    assert measured == ["a", *(f"a-{part}" for part in PARTS)]
    assert not learnt(here.written(before, here.stamps(artifacts / "runs")))


def test_another_configuration_under_its_name_is_one_line(artifacts: Path) -> None:
    for more, said in (
        ({"EPOCHS": "3"}, "config.settings.epochs = 1; got 3"),
        ({"SEED": "4"}, "config.settings.seed = 0; got 4"),
        ({"NET": "hybrid"}, "config.net = 'hybrid-small'; got 'hybrid'"),
        ({"FOLDS": "2"}, "a: the name is taken; expected FOLDS=2; got a run without folds"),
    ):
        one = told("train", artifacts, RUN="a", **more)
        told_ = [line for line in one.err.splitlines() if not line.startswith("memory: ")]
        assert (one.code, one.out, len(told_)) == (2, "", 1)
        assert said in one.err


def test_every_variable_reaches_the_configuration(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(course, "begun", lambda kind, root, plan, *rest: seen.append((plan, *rest)))
    more = {"PROFILE": "best", "NET": "hybrid-small", "EPOCHS": "7", "BUDGET": "1h30m",
            "AUGMENT": "no", "SEED": "3", "RUN": "mine", "FOLDS": "3", "ABLATION": "no",
            "MAX_RAM": "9GB"}  # fmt: skip
    monkeypatch.setitem(profiles.PROFILES, "best", replace(profiles.PROFILES["best"], batch=8))
    one = told("train", made[0], **more)
    assert one.code == 0, one.err
    ((plan, name, key),) = seen
    assert (name, key) == ("mine", load_index(made[0] / NAME).key)
    assert [each.end for each in plan] == ["-1of3", "-2of3", "-3of3"]
    config = plan[0].config
    settings = config["settings"]
    assert (config["net"], config["augment"], config["ablation"]) == ("hybrid-small", None, False)
    assert (settings["epochs"], settings["budget"], settings["seed"]) == (7, 5400, 3)
    assert settings["shared"] == 3
    assert settings["precision"] == profiles.PROFILES["best"].settings.precision
    assert "ceiling 9.00 GB" in one.err


def test_variants_on_several_machines_are_refused_before_any_waits(
    made: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, value in trainings.KERAS.places(0, [1, 2]).items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setattr("training.hybrid.train.planned", None)  # it is not come to
    one = told("train", made[0])
    assert one.code == 2
    assert "several machines cannot train several runs" in one.err


@pytest.mark.parametrize(("folds", "runs"), [("0", 4), ("2", 8)])
def test_a_budget_is_shared_by_all_runs_of_a_training(
    made: Made, monkeypatch: pytest.MonkeyPatch, folds: str, runs: int
) -> None:
    monkeypatch.setattr(train, "_parts", lambda *given: 1)
    asked = partial(told, "train", made[0], BUDGET="1h", FOLDS=folds)
    obeyed.assert_budget_is_shared(monkeypatch, asked, runs)


@pytest.mark.parametrize(
    ("variables", "code", "said"),
    [
        ({"PROFILE": "bset"}, 2, "PROFILE: no such profile; expected demo or best or classic; got"),
        ({"NET": "resnet"}, 2, "NET: unknown value; expected hybrid or hybrid-small; got resnet"),
        ({"MAX_RAM": "junk"}, 2, "MAX_RAM: no size; expected such as 15GB or 800MB; got junk"),
        ({"MAX_RAM": "1MB"}, 2, "MAX_RAM: does not fit; expected .* GB; got 1 MB. Allow more, or"),
        ({"MAX_RAM": "1"}, 2, "MAX_RAM: does not fit; expected .* GB; got 1 bytes. Allow more, or"),
        ({"ABLATION": "maybe"}, 2, "'ABLATION'.*'maybe' is not a valid boolean: say yes or no"),
        ({"AUGMENT": "maybe"}, 2, "'AUGMENT'.*'maybe' is not a valid boolean"),
        ({"EPOCHS": "0"}, 2, "'EPOCHS'.* 0 is not in the range"),
        ({"FOLDS": "1"}, 2, "FOLDS: one fold leaves nothing to learn from; expected 2 or more"),
        ({"FOLDS": "31"}, 1, "fewer groups than folds; expected 31 or more; got 30"),
        ({"BUDGET": "soon"}, 2, "BUDGET: no time; expected such as 8h"),
        ({"RUN": "a/b"}, 2, "not a name for a run"),
        ({"RECIPE": "hybird"}, 1, "hybird: no index. Run make features first"),
        ({"RECIPE": f"{NAME}, {BARE}"}, 2, "RECIPE: one recipe at a time; expected one name"),
        ({"RECIPE": BARE}, 1, f"{BARE} has no classes; expected a label. Name a recipe with"),
        ({"RECIPE": MUTE}, 1, f"{MUTE} has no field vector; expected wave and vector; got wave, "
                              "label, .*. Name a recipe such as hybrid"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_one_line(
    made: Made, variables: dict[str, str], code: int, said: str
) -> None:
    before = names(made[0] / "runs" / "hybrid")
    one = told("train", made[0], **variables)
    lines = [line for line in one.err.splitlines() if not line.startswith("memory: ")]
    assert (one.code, one.out, len(lines)) == (code, "", 1), one.err
    assert re.search(said, one.err)
    assert names(made[0] / "runs" / "hybrid") == before


# ---- folds -------------------------------------------------------------------------------------


def test_folds_without_variants_are_runs_of_their_own_and_one_table(made: Made) -> None:
    artifacts, said = made
    every, out = folder(artifacts, "f-folds"), said["f"].out
    count = sum(load_index(artifacts / NAME).examples(split) for split in SPLITS)
    assert f"{NAME}, 2 folds: {count} clips of 2 classes in 30 groups" in out
    assert out.endswith(f"tables and pictures: {every}\n")
    for number in (1, 2):
        config = read_config(folder(artifacts, f"f-{number}of2"))["config"]
        assert (config["fold"], config["variant"], config["ablation"]) == ([number, 2], "", False)
    table = rows(out)
    assert table[""][-4:] == ["fold", "1", "fold", "2"]
    assert all(set(table[name]) == {"-"} for name in ("raw only", "features only", "fused"))
    assert "-: not trained (ABLATION=no)" in out
    found = read_json(every / f"evaluation-{NAME}.json")
    assert set(found["systems"]) == {"f", "f, 2 views", "f, 10 views", "majority"}
    for words, name in (("fused, mixed", "f"), ("fused, mixed, 10 views", "f, 10 views")):
        each = [100 * x for x in found["systems"][name]["folds"]["accuracy"]["each"]]
        assert [float(x) for x in table[words][-2:]] == pytest.approx(each, abs=0.051)


def test_a_training_that_was_stopped_goes_on_with_the_others(
    made: Made, artifacts: Path, measured: list[str]
) -> None:
    """Before its last run began: that one alone is trained, and measured beside the others."""
    shutil.rmtree(folder(artifacts, "a"))
    (folder(artifacts, "a-unmixed") / "MODEL.md").unlink()
    before = here.stamps(artifacts / "runs")
    one = told("resume", artifacts)
    assert (one.code, one.out) == (0, "measured\n"), one.err
    assert one.err.startswith(f"going on with {folder(artifacts, 'a-unmixed')}\n")
    assert measured == ["a", *(f"a-{part}" for part in PARTS)]
    written = learnt(here.written(before, here.stamps(artifacts / "runs")))
    assert {name.split("/")[1] for name in written} == {"a"}
    assert trainings.told(folder(artifacts, "a")) == trainings.told(folder(made[0], "a"))
    assert all((folder(artifacts, name) / "MODEL.md").exists() for name in ("a", "a-unmixed"))


@pytest.mark.parametrize("name", ["a", "hybrid/a"])
def test_a_name_that_only_its_parts_have_is_gone_on_with(
    artifacts: Path, measured: list[str], name: str
) -> None:
    """Interrupted in its first run, as it were: the others are there, and pass without a step."""
    shutil.rmtree(folder(artifacts, "a"))
    where = folder(artifacts, "a-raw")
    state = json.loads((where / "state.json").read_text())
    write_json(where / "state.json", {"state": "unfinished", "opened": state["opened"]})
    one = told("resume", artifacts, RUN=name)
    assert (one.code, one.out) == (0, "measured\n"), one.err
    first, *lines = one.err.splitlines()
    assert first == f"going on with {where}"
    starts = [line for line in lines if re.match(r"\d of 4: ", line)]
    assert starts == [
        "1 of 4: raw only: a-raw", "2 of 4: features only: a-features", "3 of 4: fused: a-unmixed",
        "4 of 4: fused, mixed: a",
    ]  # fmt: skip
    assert len([line for line in lines if line.startswith(f"{where}: ")]) == 2  # nothing twice
    assert f"{folder(artifacts, 'a')}: begins" in lines
    assert not re.search(r"\b0 examples/s", one.err)  # nothing done has no rate
    assert read_state(folder(artifacts, "a"))["state"] == "finished"
    again = told("resume", artifacts, RUN=f"{name}b")
    assert "no such run; expected one of" in again.err
    obeyed.assert_one_line(
        told("resume", artifacts, RUN="f", CHECKPOINT="10"), 1,
        "a checkpoint of several runs; expected one of hybrid/f-1of2, hybrid/f-2of2; got f",
    )  # fmt: skip


def test_what_is_refused_is_refused_before_tensorflow_is_there(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (script, commands):
        monkeypatch.setattr(module, "tensorflow", lambda: pytest.fail("it is imported"))
    for command, more, said in (
        ("classify", {"RUN": "a", "IN": "/none"}, "/none: no such file or folder. Look at IN="),
        ("train", {"RUN": "../x"}, "not a name for a run; got '../x'. "),
        ("train", {"RUN": "a", "EPOCHS": "3"}, "config.settings.epochs = 1; got 3"),
        ("train", {"RUN": "f", "FOLDS": "2", "AUGMENT": "no", "SEED": "3", "ABLATION": "no"},
         "f-1of2: the run began otherwise; expected config.settings.seed = 0; got 3"),
    ):  # fmt: skip
        obeyed.assert_one_line(told(command, made[0], **more), 1 if command[0] == "c" else 2, said)


# ---- evaluate ----------------------------------------------------------------------------------


def test_evaluate_measures_the_variants_too(artifacts: Path, made: Made) -> None:
    """By whichever of its names it is asked for."""
    one = told("evaluate", artifacts, RUN="hybrid/a")
    assert one.code == 0, one.err
    assert rows(one.out) == rows(made[1]["a"].out)
    found = read_json(folder(artifacts, "a") / f"evaluation-{NAME}.json")
    assert {f"hybrid/a-{part}" for part in PARTS} <= set(found["systems"])


def test_a_variant_by_itself_is_not_called_the_whole(artifacts: Path) -> None:
    one = told("evaluate", artifacts, RUN="a-features")
    assert one.code == 0, one.err
    assert re.search(r"^a-features +\d", one.out, re.M)
    assert "What each part is worth" not in one.out
    assert (
        "What each part is worth" not in (folder(artifacts, "a-features") / "MODEL.md").read_text()
    )


def test_analyze_says_the_same_again(made: Made) -> None:
    one = told("analyze", made[0], RUN="a")
    assert one.code == 0, one.err
    assert one.out == made[1]["a"].out


# ---- classify, export --------------------------------------------------------------------------


def test_a_recording_is_told_by_the_model_and_not_by_a_variant(made: Made, tmp_path: Path) -> None:
    path = tmp_path / "a b.wav"
    sf.write(path, corpus.noise(3, 3.0, "rain"), 44100, "PCM_16")
    one = told("classify", made[0], IN=str(path), JSON="yes")
    assert one.code == 0, one.err
    assert one.err.startswith(f"with {folder(made[0], 'a')}\n")
    (row,) = [json.loads(line) for line in one.out.splitlines()]
    assert row["path"] == str(path)
    assert {name for name, _ in row["top"]} == set(hybrids.CLASSES)
    assert sum(p for _, p in row["top"]) == pytest.approx(1, abs=1e-4)


def test_windows_of_sound_are_told_as_the_shards_are(
    made: Made, index: Index, stored: Mapping[str, np.ndarray]
) -> None:
    """The vector is its own there; a net for one length, which files need, says the same."""
    part, where = parts(index, None).test, folder(made[0], "a")
    one = train.best(where)
    given = [tf.constant(stored[name][part]) for name in ("wave", "vector")]
    wanted = scipy.special.softmax(np.asarray(one.net(given, training=False)), -1)
    heard, recipe, classes = use.hearing(where)
    assert (recipe["name"], classes) == (NAME, hybrids.CLASSES)
    found = heard(stored["wave"][part])
    np.testing.assert_allclose(found, wanted, atol=1e-3)
    assert wanted.std(0).min() > 1e-3
    whole = use.whole(one)
    assert [tuple(x.shape[1:]) for x in whole.inputs] == [(SAMPLES,), (NUMBERS,)]
    fixed = scipy.special.softmax(np.asarray(whole(given, training=False)), -1)
    np.testing.assert_allclose(fixed, wanted, atol=1e-5)


def test_exports_agree_and_the_card_names_them(
    artifacts: Path, index: Index, stored: Mapping[str, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compared, "TIMED", 2)
    found, where = obeyed.assert_exported(OF, artifacts), folder(artifacts, "a")
    assert found["names"] == hybrids.CLASSES
    assert {row["file"] for row in found["exports"]} == set(FILES)
    assert all(row["difference"] < 1e-4 for row in found["exports"] if not row["int8"])
    part = np.flatnonzero(parts(index, None).test)[:8]
    given = [stored[name][part] for name in ("wave", "vector")]
    wanted = use.hearing(where)[0](given[0])
    for name, fields in (("", given), ("-audio", given[:1])):
        takes = ["wave", "vector"][: len(fields)]
        folder_of = where / f"saved_model{name}"
        files = {str(path.relative_to(folder_of)): path.read_bytes()
                 for path in folder_of.rglob("*") if path.is_file()}  # fmt: skip
        np.testing.assert_allclose(load_saved(files, takes)(*fields), wanted, atol=1e-3)
        lite = load_lite((where / f"model{name}.tflite").read_bytes())
        np.testing.assert_allclose(lite(*fields), wanted, atol=1e-3)
        small = load_lite((where / f"model{name}-int8.tflite").read_bytes())
        np.testing.assert_allclose(small(*fields), wanted, atol=0.03)
