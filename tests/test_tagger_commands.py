"""The tagger's commands, as make calls them: what they leave, say and refuse.

Reads small shards. Writes runs, sounds and taggrams in pytest's folders. The net here is as small
as a net can be, but for the command that runs as a process of its own.
"""

import contextlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import pytest
import soundfile as sf
import soxr

tf = pytest.importorskip("tensorflow")
pytest.importorskip("matplotlib")

from tests import corpus, here, obeyed, tagging, trainings  # noqa: E402
from tests.commanded import Script, Told, blank  # noqa: E402
from tests.here import fresh  # noqa: E402
from tests.obeyed import finite, learnt, names  # noqa: E402
from tests.tagging import NAME, TAGS, tiny  # noqa: E402
from training import report as of_runs  # noqa: E402
from training.data.index import load_index  # noqa: E402
from training.data.tf_data import narrow  # noqa: E402
from training.durable import hash_of  # noqa: E402
from training.engine import keras_ranks  # noqa: E402
from training.engine.checkpoint import Checkpoints  # noqa: E402
from training.engine.keras_learner import variables  # noqa: E402
from training.locks import lock  # noqa: E402
from training.run import cores, read_config  # noqa: E402
from training.tagger import __main__ as script  # noqa: E402
from training.tagger import plots, profiles, report, tag, train, use  # noqa: E402
from training.tagger.baselines import MFCC, OFTEN  # noqa: E402

FEW, WIDE, PLAIN, WAVES = "tiny-few", "tiny-wide", "tiny-plain", "tiny-waves"
STEPS = 20  # of two epochs
HISTORY, BARS, LINEAR = of_runs.history, plots.tags, report.linear
MAKE_NET = train.make_net

OF = Script("tagger", script.cli, {"RECIPE": NAME, "JOBS": "1"})
told, folder = OF.told, OF.folder

Made = tuple[Path, dict[str, Told]]


def _half(x: np.ndarray, tags: np.ndarray, groups: np.ndarray, test: np.ndarray) -> np.ndarray:
    return np.full((len(test), tags.shape[1]), 0.5)


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    """A net of two layers, a baseline that learns nothing, no pictures, one core."""
    demo = profiles.PROFILES["demo"]
    settings = replace(demo.settings, epochs=2, warmup=2, rate=0.02, ema=0.5)
    small = replace(demo, batch=tagging.BATCH, settings=settings)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "make_net", tiny)
        patch.setattr(keras_ranks, "threads_fixed", lambda threads: None)  # other tests compute
        patch.setattr(use, "one_thread_each", lambda jobs: None)
        patch.setitem(profiles.PROFILES, "demo", small)
        patch.setattr(report, "linear", _half)
        patch.setattr(of_runs, "history", blank)
        patch.setattr(plots, "tags", blank)
        yield


@contextlib.contextmanager
def whole() -> Iterator[None]:
    """With the baseline and the pictures."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "linear", LINEAR)
        patch.setattr(of_runs, "history", HISTORY)
        patch.setattr(plots, "tags", BARS)
        yield


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of NAME, and others that are cut, labelled or kept otherwise."""
    waves = here.changed(tagging.PLAIN, name=WAVES, output__fields=["wave"])
    root = tmp_path_factory.mktemp("tagger-commands")
    return tagging.build(root, tagging.FEW, tagging.WIDE, tagging.PLAIN, waves)


@pytest.fixture(scope="module")
def made(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Artifacts with the runs `a`, and `b` of another seed; what was said."""
    artifacts = fresh(shards, tmp_path_factory.mktemp("commands") / "artifacts")
    said = {}
    with whole():
        said["a"] = told("train", artifacts, RUN="a")
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
    obeyed.assert_leaves_all(where, NAME, ["tags"])
    config = read_config(where)["config"]
    assert (config["recipe"], config["settings"]["epochs"], config["tags"]) == (NAME, 2, TAGS)
    found = finite((where / f"evaluation-{NAME}.json").read_text())
    assert set(found["systems"]) == {"a", MFCC, OFTEN}
    ours, often = (found["systems"][name]["pr_auc"]["mean"] for name in ("a", OFTEN))
    assert ours > often
    for line in (where / "metrics.jsonl").read_text().splitlines():
        assert None not in finite(line).values()


def test_its_card_tells_what_was_measured_and_no_number_is_missing(made: Made) -> None:
    artifacts, said = made
    text = (folder(artifacts, "a") / "MODEL.md").read_text()
    assert text.startswith("# Music tagger `a`\n")
    assert "Tags: hum, rain, sound, voice." in text
    assert "make tag RUN=a IN=" in text
    table = said["a"].out.partition("\ncurves, tables")[0]
    assert all(line in text for line in table.splitlines())
    for word in ("nan", "inf", "None"):
        assert not re.search(rf"\b{word}\b", text + said["a"].out)
    # Of six test tracks all have a sound and none a voice.
    assert "not measured, as all test tracks have them or none: sound, voice." in text


def test_stdout_holds_the_table_and_stderr_how_it_went(made: Made) -> None:
    artifacts, said = made
    where, one = folder(artifacts, "a"), said["a"]
    assert f"{NAME}, test: 6 tracks (24 patches) of 3 groups, 4 tags; a track is" in one.out
    two = r" +(\d\.\d{3}) +\[\d\.\d{3}, \d\.\d{3}\]" * 2
    found = [re.search(rf"^{name}{two} ", one.out, re.M) for name in ("a", r"MFCC \+ LR", OFTEN)]
    assert all(found)
    # Two of the six tracks' tags can be told apart: half of them hum, four of them rain.
    assert [float(text) for text in found[2].groups()] == [0.583, 0.5]  # type: ignore[union-attr]
    assert "How far a lies above each" in one.out
    assert re.search(r"^voice +0 +0\.000 +- +-", one.out, re.M)
    assert one.out.endswith(f"curves, tables, pictures and card: {where}\n")
    assert f"{where}: all epochs are done; {STEPS} steps" in one.err
    assert OFTEN not in one.err


def test_the_same_command_again_trains_nothing(artifacts: Path) -> None:
    obeyed.assert_trains_nothing_again(OF, artifacts, STEPS, f"evaluation-{NAME}.json")


def test_without_a_name_what_determines_a_run_is_its_name(artifacts: Path) -> None:
    obeyed.assert_named_by_what_determines_it(OF, artifacts)


def test_another_configuration_under_its_name_is_one_line(artifacts: Path) -> None:
    for more, said in (
        ({"EPOCHS": "3"}, "config.settings.epochs = 2; got 3"),
        ({"SEED": "4"}, "config.settings.seed = 0; got 4"),
        ({"NET": "musicnn"}, "config.net = 'musicnn-small'; got 'musicnn'"),
        ({"INIT": "b"}, "config.start = None"),
    ):
        obeyed.assert_one_line(told("train", artifacts, RUN="a", **more), 2, said)


def test_every_variable_reaches_the_configuration(
    artifacts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[dict[str, Any], str]] = []
    monkeypatch.setattr(
        train, "train", lambda root, config, name, step: seen.append((config, name))
    )
    plain = {"PROFILE": "best", "EPOCHS": "7", "BUDGET": "1h30m", "AUGMENT": "no", "SEED": "3"}
    assert told("train", artifacts, RECIPE=WIDE, RUN="mine", **plain).code == 0
    assert told("train", artifacts, PROFILE="best", NET="musicnn-small").code == 0
    assert told("train", artifacts, PROFILE="best", INIT="b").code == 0
    (wide, name), (small, nameless), (after, _) = seen
    settings = wide["settings"]
    assert (name, wide["recipe"], wide["shape"]) == ("mine", WIDE, [tagging.FRAMES, 32])
    assert (settings["epochs"], settings["budget"], settings["seed"]) == (7, 5400, 3)
    assert (wide["net"], wide["augment"], wide["start"]) == ("musicnn", None, None)
    assert (small["net"], nameless) == ("musicnn-small", "")
    assert small["augment"] == dict(profiles.PROFILES["best"].augment or {})
    path = Checkpoints(folder(artifacts, "b")).best()
    assert after["start"] == [str(path.resolve()), hash_of(path)]
    assert after["net"] == "musicnn-small"  # that of the run it starts from
    rate = profiles.PROFILES["best"].settings.rate
    assert (small["settings"]["rate"], after["settings"]["rate"]) == (rate, pytest.approx(rate / 5))


@pytest.mark.parametrize(
    ("variables", "code", "said"),
    [
        ({"PROFILE": "bset"}, 2, "PROFILE: no such profile; expected demo or best or classic; got"),
        ({"NET": "resnet"}, 2, "NET: unknown value; expected musicnn or musicnn-small; got resnet"),
        ({"EPOCHS": "0"}, 2, "'EPOCHS'.* 0 is not in the range"),
        ({"SEED": "x"}, 2, "'SEED'.* 'x' is not a valid integer\\.\n"),
        ({"BUDGET": "soon"}, 2, "BUDGET: no time; expected such as 8h"),
        ({"AUGMENT": "perhaps"}, 2, "'perhaps' is not a valid boolean: say yes or no\n"),
        ({"RUN": "a/b"}, 2, "not a name for a run"),
        ({"RECIPE": "musicn"}, 1, "musicn: no index. Run make features first"),
        ({"RECIPE": f"{NAME}, {WIDE}"}, 2, "RECIPE: one recipe at a time; expected one name"),
        ({"RECIPE": PLAIN}, 1, f"{PLAIN} has no tags; expected tags. Name a recipe with tags, such "
                               "as musicnn"),
        ({"RECIPE": WAVES}, 1, f"{WAVES} has no tags; expected tags. Name a recipe with tags"),
        ({"INIT": "nobody"}, 1, "no such run; expected one of tagger/a, tagger/b; got nobody"),
        ({"INIT": "denoiser/a"}, 1, "no such run"),
        ({"INIT": "a", "NET": "musicnn"}, 2, "a: a start of another net; expected musicnn; got"),
        ({"INIT": "a", "RECIPE": WIDE}, 2, r"a: a start of another shape; expected \[40, 32\]"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_one_line(
    made: Made, variables: dict[str, str], code: int, said: str
) -> None:
    before = here.stamps(made[0] / "runs")
    one = told("train", made[0], **variables)
    assert (one.code, one.out, len(one.err.splitlines())) == (code, "", 1), one.err
    assert re.search(said, one.err), one.err
    assert here.stamps(made[0] / "runs") == before


@pytest.mark.parametrize(("recipe", "said"), [
    (NAME, "those of the last layer among them\n"),
    (FEW, "; its last layer has 4 answers: that of 2 is fresh\n"),
])  # fmt: skip
def test_another_run_is_where_it_begins(artifacts: Path, recipe: str, said: str) -> None:
    weights = Checkpoints(folder(artifacts, "b")).best()
    one = told("train", artifacts, RECIPE=recipe, RUN="on", INIT="b", EPOCHS="1")
    assert one.code == 0, one.err
    assert re.search(rf"begins with \d arrays of {weights}.*{said}", one.err)
    assert f"{recipe}, test: 6 tracks" in one.out
    before = here.stamps(artifacts / "runs")
    again = told("train", artifacts, RECIPE=recipe, RUN="on", INIT="b", EPOCHS="1")
    assert again.code == 0, again.err
    assert "begins with" not in again.err
    assert not learnt(here.written(before, here.stamps(artifacts / "runs")))


def test_a_run_that_cannot_be_measured_is_finished_and_says_what_to_do(artifacts: Path) -> None:
    obeyed.assert_finished_though_not_measured(OF, artifacts, report, "linear")


# ------------------------------------------------------------------ evaluate, analyze


def test_two_runs_stand_side_by_side(artifacts: Path) -> None:
    obeyed.assert_side_by_side(OF, artifacts, f"evaluation-{NAME}.json", (MFCC, OFTEN))


def test_without_a_name_it_is_the_last_run(artifacts: Path) -> None:
    one = told("evaluate", artifacts)
    assert one.code == 0, one.err
    assert one.out.endswith(f"card: {folder(artifacts, 'b')}\n")


def test_on_another_recipe_and_into_the_card(artifacts: Path) -> None:
    said = f"{FEW}, test: 6 tracks (24 patches) of 3 groups, 2 tags"
    files = {f"evaluation-{FEW}.json", f"tags-{FEW}.png"}
    obeyed.assert_measured_on_another(OF, artifacts, (NAME, FEW), said, files)


def test_a_run_that_lacks_a_word_is_learnt_from(artifacts: Path) -> None:
    assert told("train", artifacts, RECIPE=FEW, RUN="few", EPOCHS="1").code == 0
    with whole():
        one = told("evaluate", artifacts, RUN="few a", ON=NAME)
    assert one.code == 0, one.err
    for name in ("few + LR", "a", "MFCC + LR", OFTEN):
        assert re.search(rf"^{re.escape(name)} +\d", one.out, re.M), name
    assert "How far few + LR lies above each" in one.out
    found = finite((folder(artifacts, "few") / f"evaluation-{NAME}.json").read_text())
    assert found["ours"] == "few + LR"
    assert "nan" not in (folder(artifacts, "few") / "MODEL.md").read_text()


@pytest.mark.parametrize(
    ("on", "code", "said"),
    [(WIDE, 2, f"a tagger of other features; expected those of {WIDE}; got those of {NAME}"),
     (PLAIN, 1, f"{PLAIN} has no tags; expected tags. Name a recipe with tags"),
     (WAVES, 1, f"{WAVES} has no tags"), ("none", 1, "no index"),
     (f"{NAME},{FEW}", 2, "ON: one recipe at a time; expected one name")],
)  # fmt: skip
def test_on_what_it_cannot_hear(made: Made, on: str, code: int, said: str) -> None:
    obeyed.assert_one_line(told("evaluate", made[0], RUN="a", ON=on), code, said)


def test_shards_that_were_built_anew_are_warned_of(artifacts: Path) -> None:
    obeyed.assert_warned_of_other_shards(OF, artifacts, (report, use), ["export"])


def test_analyze_draws_the_same_bytes_again(made: Made, artifacts: Path) -> None:
    obeyed.assert_draws_the_same_again(OF, made, artifacts, 2, whole)


@pytest.mark.parametrize("command", ["evaluate", "analyze", "tag", "export"])
def test_an_unknown_run_is_told_the_known_ones(made: Made, tmp_path: Path, command: str) -> None:
    more = {"IN": "x.wav"} if command == "tag" else {}
    obeyed.assert_known_runs_told(OF, command, made[0], tmp_path, "tagger/a, tagger/b", **more)
    if command == "tag":
        one = told(command, tmp_path, **more)
        assert "no finished run of a tagger. Start one with make train-tagger" in one.err
        obeyed.assert_one_at_a_time(OF, command, made[0], **more)


# ------------------------------------------------------------------ tag


@pytest.fixture
def sounds(tmp_path: Path) -> Path:
    """A track that rains, and one that hums and rains, of 3.2 and 2 s."""
    where = tmp_path / "sounds"
    where.mkdir()
    sf.write(where / "a b.wav", corpus.noise(3, 3.2, "rain"), corpus.RATE, "PCM_16")
    both = corpus.noise(41, 2.0, "hum") + corpus.noise(41, 2.0, "rain")
    sf.write(where / "both.flac", both, corpus.RATE)
    return where


def by_hand(path: Path, run: Path) -> np.ndarray:
    """(patches, tags): librosa's spectrum of the whole track, cut, and the net by numpy."""
    wave = soxr.resample(sf.read(path)[0], corpus.RATE, tagging.RATE, "HQ")
    power = librosa.feature.melspectrogram(
        y=wave, sr=tagging.RATE, n_fft=128, hop_length=tagging.HOP, n_mels=tagging.MELS,
        pad_mode="constant",
    )  # fmt: skip
    frames = np.log10(1 + 10000 * power).T
    count = len(frames) // tagging.FRAMES
    patches = frames[: count * tagging.FRAMES].reshape(count, tagging.FRAMES, tagging.MELS)
    return tagging.answered(train.best(run).net, patches)


def test_a_track_is_told_and_drawn(made: Made, sounds: Path, tmp_path: Path) -> None:
    """With the last run, the mean over its patches."""
    path, out = sounds / "a b.wav", tmp_path / "out"
    one = told("tag", made[0], IN=str(path), OUT=str(out))
    assert one.code == 0, one.err
    run = folder(made[0], "b")
    assert one.err.startswith(f"with {run}\n")
    assert "tagged 1 of 1 recording, 3.2 s of sound in " in one.err
    assert one.err.endswith(f"taggrams: {out}\n")
    each = by_hand(path, run)
    mean = dict(zip(TAGS, each.mean(0), strict=True))
    order = sorted(TAGS, key=lambda tag: -mean[tag])
    assert len({round(value, 2) for value in mean.values()}) > 2
    wanted = ", ".join(f"{tag} {100 * mean[tag]:.0f} %" for tag in order)
    assert one.out == f"{path}  3.2 s  {wanted}\n"
    assert names(out) == {"a b.wav.json", "a b.wav.png"}
    row = finite((out / "a b.wav.json").read_text())
    assert (row["tags"], row["path"], row["seconds"]) == (TAGS, str(path), pytest.approx(3.2))
    assert row["step"] == pytest.approx(tagging.SAMPLES / tagging.RATE)
    np.testing.assert_allclose(row["probabilities"], each, atol=1e-4)
    assert each.shape == (10, len(TAGS))
    assert (out / "a b.wav.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("text", ["yes", "1"])
def test_as_lines_of_json(made: Made, sounds: Path, tmp_path: Path, text: str) -> None:
    more = {"JSON": text, "TOP": "2", "OUT": str(tmp_path / "out"), "JOBS": "2"}
    one = told("tag", made[0], RUN="a", IN=str(sounds), **more)
    assert one.code == 0, one.err
    rows = [finite(line) for line in one.out.splitlines()]
    assert [row["path"] for row in rows] == [f"{sounds}/a b.wav", f"{sounds}/both.flac"]
    for row in rows:
        mean = by_hand(Path(row["path"]), folder(made[0], "a")).mean(0)
        best = sorted(zip(TAGS, mean, strict=True), key=lambda pair: -pair[1])[:2]
        assert [name for name, _ in row["top"]] == [name for name, _ in best]
        np.testing.assert_allclose([p for _, p in row["top"]], [p for _, p in best], atol=1e-4)
    assert len(names(tmp_path / "out")) == 4


@pytest.mark.parametrize("text", ["no", ""])
def test_not_as_json(artifacts: Path, sounds: Path, text: str) -> None:
    one = told("tag", artifacts, RUN="a", IN=str(sounds / "both.flac"), JSON=text, TOP="1", JOBS="")
    assert one.code == 0, one.err
    assert re.fullmatch(re.escape(f"{sounds}/both.flac  2.0 s") + r"  \w+ \d+ %\n", one.out)
    assert names(artifacts / "tags") == {"both.flac.json", "both.flac.png"}  # unless told where


@pytest.mark.parametrize(("text", "jobs"), [("3", 3), ("", cores())])
def test_as_many_tracks_at_once_as_threads_that_compute(
    made: Made, monkeypatch: pytest.MonkeyPatch, text: str, jobs: int
) -> None:
    seen: list[object] = []
    monkeypatch.setattr(use, "one_thread_each", seen.append)
    monkeypatch.setattr(tag, "tag_path", lambda *rest: seen.extend(rest[-2:]))
    assert told("tag", made[0], RUN="a", IN="Makefile", JOBS=text).code == 0
    assert seen == [jobs, made[0] / "tags", jobs]


def test_what_cannot_be_heard_is_told_by_the_exit_code(
    made: Made, sounds: Path, tmp_path: Path
) -> None:
    (sounds / "c.wav").write_bytes(b"<html>")
    out = str(tmp_path / "out")
    one = told("tag", made[0], RUN="a", IN=str(sounds), OUT=out)
    assert one.code == 1
    assert "c.wav" in one.err
    assert "tagged 2 of 3 recordings" in one.err
    assert told("tag", made[0], RUN="a", IN=str(sounds / "none.wav"), OUT=out).code == 1


def test_as_a_process_of_its_own(artifacts: Path, sounds: Path, tmp_path: Path) -> None:
    """What make starts, on several threads: the shipped net, and stdout for results alone."""
    where = folder(artifacts, "own")
    shutil.copytree(folder(artifacts, "a"), where)
    shutil.rmtree(where / "checkpoints")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "make_net", MAKE_NET)
        net = train.net_of(read_config(where)["config"])
    state = {"learner": {"model": variables(net), "ema": None}}
    Checkpoints(where).save(1, state, best=True)
    env = {"ARTIFACTS": str(artifacts), "RUN": "own", "IN": str(sounds), "JOBS": "2", "JSON": "yes"}
    done = subprocess.run(
        [sys.executable, "-m", "training.tagger", "tag"], cwd=corpus.REPO, capture_output=True,
        env=corpus.environment(env), text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = [finite(line) for line in done.stdout.splitlines()]
    assert [Path(row["path"]).name for row in rows] == ["a b.wav", "both.flac"]
    assert len(names(artifacts / "tags")) == 4
    first, *_, last = done.stderr.splitlines()
    assert (first, last) == (f"with {where}", f"taggrams: {artifacts / 'tags'}")
    assert len(done.stderr.splitlines()) == 3


@pytest.mark.parametrize("source", ["none.wav", "empty"])
@pytest.mark.parametrize(("command", "more"), [
    ("tag", {"RUN": "a"}), ("train", {"RUN": "../x"}), ("train", {"RUN": "a", "EPOCHS": "3"}),
    ("train", {"RUN": "a", "SEED": "1"}),
])  # fmt: skip
def test_what_is_refused_is_refused_before_tensorflow_is_there(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, command: str,
    more: dict[str, str],
) -> None:  # fmt: skip
    (tmp_path / "empty").mkdir()
    monkeypatch.setattr(script, "tensorflow", lambda: pytest.fail("it is imported"))
    one = told(command, made[0], IN=str(tmp_path / source), **more)
    assert (one.code > 0, one.out, len(one.err.splitlines())) == (True, "", 1), one.err


def test_a_run_that_is_at_work_is_refused_at_once(
    artifacts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(script, "tensorflow", lambda: pytest.fail("it is imported"))
    with lock(folder(artifacts, "a")):
        for command in ("train", "resume"):
            obeyed.assert_one_line(
                told(command, artifacts, RUN="a"), 1,
                f"another process works on this run; got process {os.getpid()} since ",
            )  # fmt: skip


def test_a_damaged_checkpoint_is_told_truly_at_each_step(artifacts: Path, sounds: Path) -> None:
    """Of a run that has no other one."""
    where = folder(artifacts, "a")
    best = Checkpoints(where).best()
    for path in (where / "checkpoints").iterdir():
        if path != best:
            path.unlink()
    best.write_bytes(best.read_bytes()[:-1])
    anew = f"Remove {where} and give the command that began it (make train-tagger ...) again, or "
    one = told("tag", artifacts, RUN="a", IN=str(sounds))
    assert one.err.count(anew) == 1
    again = told("resume", artifacts, RUN="a")
    assert f"; it is kept as {best.name}.aside\n" in again.err
    assert again.err.count(anew) == 1
    assert "Going back" not in again.err
    for one in (
        told("tag", artifacts, RUN="a", IN=str(sounds)),
        told("resume", artifacts, RUN="a"),
    ):
        assert f"no checkpoint of this run is whole; got {best.name}.aside. {anew}" in one.err
    shutil.rmtree(where)
    assert told("train", artifacts, RUN="a").code == 0
    assert told("tag", artifacts, RUN="a", IN=str(sounds), OUT=str(sounds)).code == 0


# ------------------------------------------------------------------ export


def test_exports_answer_as_the_net_does(artifacts: Path) -> None:
    """By TensorFlow's own loaders, on test patches and on sound."""
    told_of, where = obeyed.assert_exported(OF, artifacts), folder(artifacts, "a")
    assert (told_of["names"], told_of["measure"]) == (TAGS, "ROC-AUC")
    assert "nan" not in (where / "MODEL.md").read_text()
    index = load_index(artifacts / NAME)
    patches = narrow(index, ["test"], ("logmel",))["logmel"]
    net = train.best(where).net
    wanted = tagging.answered(net, patches)
    saved = tf.saved_model.load(str(where / "saved_model")).signatures["serving_default"]
    np.testing.assert_allclose(saved(features=patches)["probabilities"], wanted, atol=1e-4)
    lite = tf.lite.Interpreter(str(where / "model.tflite")).get_signature_runner()
    found = np.concatenate([lite(features=one[None])["probabilities"] for one in patches])
    np.testing.assert_allclose(found, wanted, atol=1e-4)
    assert np.ptp(wanted, 0).max() > 0.1
    wave = corpus.noise(5, 0.4, "hum")[: tagging.SAMPLES].astype(np.float32)
    spectrum = librosa.feature.melspectrogram(
        y=wave.astype(np.float64), sr=tagging.RATE, n_fft=128, hop_length=tagging.HOP,
        n_mels=tagging.MELS, pad_mode="constant",
    ).T[: tagging.FRAMES]  # fmt: skip
    wanted = tagging.answered(net, np.log10(1 + 10000 * spectrum)[None])
    saved = tf.saved_model.load(str(where / "saved_model-audio")).signatures["serving_default"]
    lite = tf.lite.Interpreter(str(where / "model-audio.tflite")).get_signature_runner()
    for answer in (saved(wave=wave[None]), lite(wave=wave[None])):
        np.testing.assert_allclose(answer["probabilities"], wanted, atol=1e-4)


# ------------------------------------------------------------------ resume


def test_back_to_a_checkpoint(made: Made, artifacts: Path) -> None:
    obeyed.assert_back_to_a_checkpoint(OF, made[0], artifacts, 10, 20)


def test_a_run_that_was_not_measured_is_gone_on_with(artifacts: Path) -> None:
    (folder(artifacts, "a") / "MODEL.md").unlink()
    before = here.stamps(artifacts / "runs")
    one = told("resume", artifacts)
    assert one.code == 0, one.err
    assert one.err.startswith(f"going on with {folder(artifacts, 'a')}\n")
    assert f"{NAME}, test: 6 tracks" in one.out
    assert not learnt(here.written(before, here.stamps(artifacts / "runs")))
    assert "no run to go on with" in told("resume", artifacts).err


def test_a_warm_start_is_gone_on_with_by_itself(artifacts: Path) -> None:
    """What it started from is not read again."""
    assert told("train", artifacts, RUN="on", INIT="b").code == 0
    where = folder(artifacts, "on")
    want = trainings.told(where)
    shutil.rmtree(folder(artifacts, "b"))
    one = told("resume", artifacts, RUN="on", CHECKPOINT="10")
    assert one.code == 0, one.err
    assert "begins with" not in one.err
    assert trainings.told(where) == want
