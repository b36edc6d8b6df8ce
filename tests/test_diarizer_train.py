"""Training a diarizer: what it learns from, where it starts, whom it learns from, what it refuses.

Reads small shards. Writes runs in pytest's folders.
"""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tests import here, trainings  # noqa: E402
from tests.diarizing import HEARD, REAL, STEPS, TALKS, TINY  # noqa: E402
from tests.here import fresh  # noqa: E402
from training import durable  # noqa: E402
from training.data.index import DataError, Index, load_index, load_indexes  # noqa: E402
from training.diarizer import train as script  # noqa: E402
from training.diarizer.calibrate import calibrated  # noqa: E402
from training.diarizer.loss import HEADS, Orders  # noqa: E402
from training.diarizer.net import Diarizer  # noqa: E402
from training.diarizer.powerset import coarser  # noqa: E402
from training.diarizer.profiles import Profile  # noqa: E402
from training.diarizer.sequences import Sequences, rows, voices  # noqa: E402
from training.diarizer.train import COST, VOICES, configuration, make_net, trained  # noqa: E402
from training.diarizer.validation import Validation  # noqa: E402
from training.engine import torch_fit as engine  # noqa: E402
from training.engine.checkpoint import Checkpoints  # noqa: E402
from training.engine.torch_ranks import Ranks  # noqa: E402
from training.errors import Changed, RunError  # noqa: E402
from training.run import read_config, read_metrics  # noqa: E402

SETTINGS = TINY.settings


def asked(
    artifacts: Path, *recipes: str, init: str = "", teacher: str = "", **changes: Any
) -> dict[str, Any]:
    """A configuration; changes of settings among those of the profile."""
    inner = {k: v for k, v in changes.items() if hasattr(SETTINGS, k)}
    outer = {k: v for k, v in changes.items() if k not in inner}
    profile = replace(TINY, settings=replace(SETTINGS, **{"epochs": 1} | inner), **outer)
    return configuration(artifacts, recipes or [TALKS], profile, init, teacher)


def train(artifacts: Path, config: dict[str, Any], name: str = "a", **more: Any) -> engine.Result:
    made = script.train(artifacts, config, name, Ranks(), **more)
    assert made is not None
    assert made[0] == folder(artifacts, name)
    return made[1]


def folder(artifacts: Path, name: str) -> Path:
    return artifacts / "runs" / "diarizer" / name


def metrics(artifacts: Path, name: str = "a", kind: str = "valid") -> list[dict[str, Any]]:
    return [row for row in read_metrics(folder(artifacts, name)) if row["kind"] == kind]


@pytest.fixture
def artifacts(diarizer_shards: Path, tmp_path: Path) -> Path:
    return fresh(diarizer_shards, tmp_path / "artifacts")


@pytest.fixture(scope="module")
def first(diarizer_shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Artifacts with a finished run `first`, to be copied."""
    artifacts = fresh(diarizer_shards, tmp_path_factory.mktemp("first") / "artifacts")
    train(artifacts, asked(artifacts, seed=5), "first")
    return artifacts


@pytest.fixture
def begun(first: Path, artifacts: Path) -> Path:
    """The same, for one test alone."""
    shutil.copytree(first / "runs", artifacts / "runs")
    return artifacts


def judged(artifacts: Path, net: Any, profile: Profile = TINY) -> dict[str, float]:
    indexes = load_indexes(artifacts, [TALKS])
    with torch.no_grad():
        return Validation(indexes, profile, Orders(profile.head, profile.sets))(net.eval())


# ---- learning ----------------------------------------------------------------------------------


def test_learning_helps(artifacts: Path) -> None:
    config = asked(artifacts, epochs=14, rate=1e-2, shorter=20, longest=40, augment=None)
    result = train(artifacts, config)
    assert (result.state.step, result.why) == (14 * STEPS, "all epochs are done")
    told = metrics(artifacts)
    assert [row["step"] for row in told] == [STEPS * n for n in range(1, 15)]
    torch.manual_seed(0)
    profile = trained(folder(artifacts, "a")).profile
    start = judged(artifacts, make_net(profile, 20), profile)
    learnt = judged(artifacts, trained(folder(artifacts, "a")).net, profile)
    assert learnt["speech"] < 0.8 * start["speech"]
    assert learnt["der"] < 0.8 * start["der"]
    best = min(told, key=lambda row: row["der"])
    assert learnt == pytest.approx({k: best[k] for k in ("speech", "der")}, rel=1e-5)


def test_a_training_row_tells_what_the_loss_is_made_of(begun: Path) -> None:
    (row,) = metrics(begun, "first", "train")
    assert {"loss", "speech", "voice", "grad_norm", "rate"} <= set(row)
    assert row["loss"] == pytest.approx(row["speech"] + TINY.voice * row["voice"], rel=1e-5)


def test_recipes_with_and_without_names_of_voices_make_one_net(artifacts: Path) -> None:
    config = asked(artifacts, TALKS, REAL)
    assert train(artifacts, config).state.step == STEPS + 1
    (row,) = metrics(artifacts, kind="train")
    assert row["voice"] > 0
    assert set(read_config(folder(artifacts, "a"))["data"]) == {TALKS, REAL}
    assert config["known"] == 5


@pytest.mark.parametrize("changes", [{"head": "pit-bce"}, {"precision": "bf16"}, {"voice": 0.0}])
def test_every_kind_of_it_stays_a_number(artifacts: Path, changes: dict[str, Any]) -> None:
    train(artifacts, asked(artifacts, **changes))
    (row,) = metrics(artifacts, kind="train")
    assert all(np.isfinite(value) for key, value in row.items() if key != "kind")
    (row,) = metrics(artifacts)
    assert 0 <= row["der"] < 5
    one = trained(folder(artifacts, "a"))
    assert one.net.answer.out_features == (4 if "head" in changes else 11)
    assert (one.net.known is None) == ("voice" in changes)
    assert all(torch.isfinite(w).all() for w in one.net.state_dict().values())


def test_without_augmentation_the_net_is_given_what_is_stored(
    artifacts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    real = Diarizer.forward

    def noted(self: Diarizer, logmel: Any, count: Any) -> Any:
        seen.append((self.training, logmel))
        return real(self, logmel, count)

    monkeypatch.setattr(Diarizer, "forward", noted)
    index = load_index(artifacts / TALKS)
    for name, augment in (("plain", None), ("other", {})):
        seen.clear()
        train(artifacts, asked(artifacts, augment=augment), name)
        plain = Sequences([index], 4, longest=800).epoch(0)
        same = [
            logmel.shape == one["logmel"].shape and np.array_equal(logmel.numpy(), one["logmel"])
            for (_, logmel), one in zip((s for s in seen if s[0]), plain, strict=True)
        ]
        assert all(same) if augment is None else not any(same)
        scored = {tuple(logmel.shape) for training, logmel in seen if not training}
        assert scored == {(5, 800, 20)}  # validation is of what is stored


def test_what_it_took_is_kept_and_not_forgotten(begun: Path) -> None:
    path = folder(begun, "first") / COST
    told = durable.read_json(path)
    assert set(told) == {"peak", "start"}
    assert 1e7 < told["peak"] < 1e11
    assert 0 < told["start"] < 60
    before = path.read_bytes()
    assert not train(begun, asked(begun, seed=5), "first").speed  # nothing left to train
    assert path.read_bytes() == before


# ---- validation --------------------------------------------------------------------------------


class Sure(torch.nn.Module):  # type: ignore[name-defined]
    """Answers what it is given in place of frames: the truth, with speakers in another order."""

    def __init__(self, truth: Any) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.shorter, self.truth, self.known = 10, truth, None

    def forward(self, logmel: Any, count: Any) -> Any:
        who = coarser(self.truth(logmel), 10)[..., [2, 0, 3, 1]]
        answers = torch.nn.functional.one_hot(TINY.sets.classes(who), 11) * 40.0
        return answers, torch.zeros(*answers.shape[:2], 64)


def test_who_knows_the_truth_has_no_errors_and_silence_misses_all(artifacts: Path) -> None:
    index = load_index(artifacts / TALKS)
    one = Validation([index], TINY, Orders("powerset", TINY.sets))
    assert [len(batch["frames"]) for batch in one.batches] == [5]
    (batch,) = one.batches
    truth = torch.from_numpy(batch["activity"])
    found = one(Sure(lambda logmel: truth))
    assert found["der"] == 0.0
    assert found["speech"] < 1e-6
    assert one(Sure(lambda logmel: torch.zeros_like(truth)))["der"] == 1.0


@pytest.mark.parametrize("most", [1, 4, 8, 100])
def test_no_more_than_so_many_sequences_of_all_recipes(
    artifacts: Path, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr("training.diarizer.validation.VALID", most)
    monkeypatch.setattr("training.diarizer.validation.HEARD", 2)
    indexes = load_indexes(artifacts, [TALKS, REAL])
    assert [len(rows(index, "valid")) for index in indexes] == [5, 3]
    one = Validation(indexes, TINY, Orders("powerset", TINY.sets))
    counts = [len(batch["frames"]) for batch in one.batches]
    assert max(counts) <= 2
    assert sum(counts) <= max(most, 2)
    assert {"voices" in batch for batch in one.batches} == {True, False}
    once = replace(TINY, once=True)
    few = Validation(indexes[1:], once, Orders("powerset", TINY.sets))
    assert sum(len(batch["frames"]) for batch in few.batches) == 1


@pytest.mark.parametrize("recordings", [24, 48, 480])
def test_of_recordings_of_two_windows_the_second_are_heard_too(
    artifacts: Path, monkeypatch: pytest.MonkeyPatch, recordings: int
) -> None:
    """Every second, fourth or twentieth window would be a first one."""
    told = "training.diarizer.validation"
    monkeypatch.setattr(f"{told}.rows", lambda *of, **which: list(range(2 * recordings)))
    monkeypatch.setattr(f"{told}.read", lambda row, longest: {"frames": np.int64(row % 2)})
    one = Validation([load_index(artifacts / TALKS)], TINY, Orders("powerset", TINY.sets))
    second = np.concatenate([batch["frames"] for batch in one.batches])
    assert len(second) == 48
    assert 12 <= second.sum() <= 36  # 24, with a deviation of 3.5


# ---- another run to start from -----------------------------------------------------------------


def test_a_run_starts_from_anothers_weights_but_for_the_voices_it_knew(
    begun: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, Any] = {}

    def fit(net: Any, *rest: Any) -> Any:
        seen.update({name: w.detach().clone() for name, w in net.named_parameters()})
        return engine.fit(net, *rest)

    monkeypatch.setattr(script, "engine", type("Engine", (), {"fit": staticmethod(fit)}))
    config = asked(begun, TALKS, REAL, init="first", seed=9)
    best = Checkpoints(folder(begun, "first")).best()
    assert config["init"] == {"run": "first", "checkpoint": best.read_bytes()[-32:].hex()}
    assert asked(begun, TALKS, REAL, init="diarizer/first", seed=9) == config
    train(begun, config, "second")
    other = dict(trained(folder(begun, "first")).net.named_parameters())
    assert {name for name in seen if not torch.equal(seen[name], other[name])} == {"known"}
    torch.manual_seed(9)
    assert torch.equal(seen["known"], make_net(TINY, 20, 5).known)


def test_once_begun_a_run_needs_the_other_no_more(begun: Path) -> None:
    config = asked(begun, init="first", epochs=2)
    train(begun, config, "second")
    want = trainings.told(folder(begun, "second"))
    shutil.rmtree(folder(begun, "first"))
    train(begun, config, "second", checkpoint=STEPS)
    assert trainings.told(folder(begun, "second")) == want


def test_another_start_is_another_run(begun: Path) -> None:
    train(begun, asked(begun, init="first"), "second")
    with pytest.raises(Changed, match=r"config.init.checkpoint = '\w+'"):
        train(begun, asked(begun), "second")


@pytest.mark.parametrize("key", ["init", "teacher"])
def test_a_run_that_went_on_learning_is_refused(begun: Path, key: str) -> None:
    config = asked(begun, **{key: "first"})
    config[key]["checkpoint"] = "0" * 64
    with pytest.raises(Changed, match="first: the run learnt from has learnt more since"):
        train(begun, config, "second")


@pytest.mark.parametrize("key", ["init", "teacher"])
def test_a_run_that_is_not_finished_is_refused(begun: Path, key: str) -> None:
    """It will have learnt more, and what was begun with it could not be gone on with."""
    state = folder(begun, "first") / "state.json"
    durable.write_json(state, {**durable.read_json(state), "state": "unfinished"})
    with pytest.raises(Changed, match=rf"a run for {key.upper()}= .*Make resume RUN=first"):
        asked(begun, **{key: "first"})


def test_damaged_notes_of_voices_are_made_again(
    begun: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder(begun, "first") / VOICES
    path.write_bytes(b"{}")
    assert trained(folder(begun, "first")).alike is None
    assert f"{path}: damaged, and passed over" in capsys.readouterr().err
    calibrated(trained(folder(begun, "first")), begun)
    assert trained(folder(begun, "first")).alike is not None


@pytest.mark.parametrize("key", ["init", "teacher"])
def test_an_unknown_run_is_told_the_known_ones(begun: Path, key: str) -> None:
    with pytest.raises(RunError, match="no such run; expected one of diarizer/first; got frist"):
        asked(begun, **{key: "frist"})


@pytest.mark.parametrize(
    ("changes", "name", "both"),
    [({"head": "pit-bce"}, "head", True), ({"speakers": 4, "overlap": 3}, "overlap", True),
     ({"width": 20}, "width", False), ({"blocks": 2}, "blocks", False),
     ({"shorter": 20}, "shorter", False)],
)  # fmt: skip
def test_weights_or_answers_that_do_not_fit_are_refused(
    begun: Path, changes: dict[str, Any], name: str, both: bool
) -> None:
    """A teacher may be of another size and have other frames."""
    with pytest.raises(Changed, match=f"a run to start from of another {name}; expected") as error:
        asked(begun, init="first", **changes)
    assert str(folder(begun, "first")) in str(error.value)
    if both:
        with pytest.raises(Changed, match=f"a teacher to learn from of another {name}"):
            asked(begun, teacher="first", **changes)
    else:
        assert asked(begun, teacher="first", **changes)["teacher"]["run"] == "first"


def otherwise(index: Index, section: str, **changes: Any) -> Index:
    """The same with another recipe."""
    inner = index.recipe[section]
    if section == "features":
        inner = {"logmel": {**inner["logmel"], **changes}}
    return replace(index, recipe={**index.recipe, section: {**inner, **changes}})


@pytest.mark.parametrize("key", ["init", "teacher"])
@pytest.mark.parametrize(
    ("section", "changes"), [("audio", {"rate": 16000}), ("features", {"eps": 1e-5})]
)
def test_a_run_that_hears_otherwise_is_refused(
    begun: Path, monkeypatch: pytest.MonkeyPatch, key: str, section: str, changes: dict[str, Any]
) -> None:
    monkeypatch.setattr(
        "training.data.index.load_index",
        lambda path: otherwise(load_index(path), section, **changes),
    )
    with pytest.raises(Changed, match="of another heard; expected"):
        asked(begun, **{key: "first"})


# ---- a teacher ---------------------------------------------------------------------------------


@pytest.mark.parametrize("shorter", [10, 15, 20])
def test_a_teacher_of_other_frames_is_learnt_from(begun: Path, shorter: int) -> None:
    config = asked(begun, teacher="first", shorter=shorter, longest=800 // shorter, width=8)
    train(begun, config, "second")
    (row,) = metrics(begun, "second", "train")
    assert 0 < row["taught"] < 10
    want = (row["speech"] + row["taught"]) / 2 + TINY.voice * row["voice"]
    assert row["loss"] == pytest.approx(want, rel=1e-5)


def test_of_a_teacher_nothing_is_changed_and_all_may_be_learnt(begun: Path) -> None:
    was = trainings.told(folder(begun, "first"))
    train(begun, asked(begun, teacher="first", taught=1.0, voice=0.0), "second")
    (row,) = metrics(begun, "second", "train")
    assert row["loss"] == pytest.approx(row["taught"], rel=1e-6)
    assert trainings.told(folder(begun, "first")) == was
    train(begun, asked(begun, voice=0.0), "alone")
    nets = [trained(folder(begun, name)).net.state_dict() for name in ("second", "alone")]
    assert any(not torch.equal(nets[0][name], nets[1][name]) for name in nets[0])


# ---- what is refused ---------------------------------------------------------------------------


def test_no_recipe_and_no_shards(tmp_path: Path) -> None:
    with pytest.raises(Changed, match="RECIPE: no recipe"):
        configuration(tmp_path, [], TINY)
    with pytest.raises(DataError, match=f"{TALKS}: no index. Run make features first"):
        asked(tmp_path)


@pytest.mark.parametrize(
    ("recipes", "changes", "said"),
    [((TALKS,), {"batch": 13}, f"{TALKS} has too few examples for one batch.*expected 13 .*got 12"),
     ((HEARD,), {}, f"{HEARD} has too few examples for one batch"),
     ((TALKS, REAL), {"batch": 7}, f"{REAL} has too few examples.*expected 7 .*got 6")],
)  # fmt: skip
def test_what_cannot_be_trained_from_leaves_no_run_behind(
    artifacts: Path, recipes: tuple[str, ...], changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(DataError, match=said.replace("expected 13 ", "expected 13").replace(
            "expected 7 ", "expected 7")):  # fmt: skip
        train(artifacts, asked(artifacts, *recipes, **changes))
    assert not (artifacts / "runs").exists()


def test_nor_does_a_recipe_with_nothing_to_validate_with(
    artifacts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without(path: Path) -> Index:
        index = load_index(path)
        return replace(index, entries=tuple(s for s in index.entries if s.split != "valid"))

    monkeypatch.setattr("training.data.index.load_index", without)
    with pytest.raises(DataError, match="nothing to validate with.*Add recordings of more speak"):
        train(artifacts, asked(artifacts))
    assert not (artifacts / "runs").exists()


@pytest.mark.parametrize(
    ("section", "changes", "said"),
    [("labels", {"frame": 160}, "label frames are not those of the log-mel"),
     ("labels", {"speakers": 3}, "for another number of speakers; expected labels.speakers = 4; "),
     ("audio", {"rate": 16000}, "recipes that hear otherwise")],
)  # fmt: skip
def test_recipes_that_do_not_fit_each_other_or_the_net(
    artifacts: Path, monkeypatch: pytest.MonkeyPatch, section: str, changes: Any, said: str
) -> None:
    def odd(path: Path) -> Index:
        index = load_index(path)
        return otherwise(index, section, **changes) if path.name == REAL else index

    monkeypatch.setattr("training.data.index.load_index", odd)
    assert asked(artifacts, TALKS)
    with pytest.raises((Changed, DataError), match=said):
        asked(artifacts, TALKS, REAL)


def test_a_recipe_without_activity(artifacts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def mute(path: Path) -> Index:
        index = load_index(path)
        return replace(index, fields=tuple(f for f in index.fields if f.name != "activity"))

    monkeypatch.setattr("training.data.index.load_index", mute)
    with pytest.raises(DataError, match=f"{TALKS} does not say who speaks"):
        asked(artifacts)


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"batch": 2}, "config.batch = 4; got 2"), ({"seed": 6}, "config.settings.seed = 5; got 6"),
     ({"head": "pit-bce"}, "config.head = 'powerset'; got 'pit-bce'"),
     ({"augment": None}, "config.augment = "), ({"teacher": "first"}, "config.teacher.checkpoint")],
)  # fmt: skip
def test_another_configuration_under_the_same_name_is_refused(
    begun: Path, changes: dict[str, Any], said: str
) -> None:
    config = asked(begun, **{"seed": 5, **changes})
    before = here.stamps(begun)
    with pytest.raises(Changed, match="Set it back, or name a new run with RUN=") as error:
        train(begun, config, "first")
    assert said in str(error.value)
    assert not here.written(before, here.stamps(begun)) - {"runs/diarizer/first/.lock"}


def test_other_shards_under_the_same_name_are_refused(
    begun: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = asked(begun, seed=5)
    monkeypatch.setattr(
        "training.data.index.load_index", lambda path: replace(load_index(path), key="other")
    )
    with pytest.raises(Changed, match=rf"data.{TALKS} = '\w+'; got 'other'"):
        train(begun, config, "first")


def test_all_heads_are_known(artifacts: Path) -> None:
    for head in HEADS:
        assert asked(artifacts, head=head)["head"] == head
    with pytest.raises(Changed, match="head: out of range; expected powerset or pit-bce"):
        asked(artifacts, head="softmax")
    assert len(voices(load_indexes(artifacts, [TALKS]))) == asked(artifacts)["known"]
