"""What a hybrid's training consists of: runs in their order, what each is given, parts of a batch.

Reads and writes: shards of a tiny corpus and runs in pytest's folders.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.special
import sklearn.metrics

tf = pytest.importorskip("tensorflow")

import keras  # noqa: E402

from tests import corpus, hybrids  # noqa: E402
from tests.here import fresh  # noqa: E402
from tests.hybrids import BARE, LONE, MUTE, NAME, NUMBERS, SAMPLES, Stub, small  # noqa: E402
from training.classes import moments  # noqa: E402
from training.classes.parts import parts  # noqa: E402
from training.data.index import SPLITS, DataError, Index, load_index  # noqa: E402
from training.data.tf_data import narrow  # noqa: E402
from training.durable import dump_json  # noqa: E402
from training.engine import keras_ranks, memory  # noqa: E402
from training.errors import Changed, RunError  # noqa: E402
from training.graph.waves import Changes, crop  # noqa: E402
from training.hybrid import MODEL, kind, net, profiles, train, use  # noqa: E402
from training.hybrid.profiles import VARIANTS, Profile  # noqa: E402
from training.run import opened  # noqa: E402

SEED = tf.constant([3, 4], tf.int32)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hybrids.build(tmp_path_factory.mktemp("hybrid-train"), *hybrids.LACKING)


@pytest.fixture(scope="module")
def index(shards: Path) -> Index:
    return load_index(shards / NAME)


@pytest.fixture(scope="module")
def stored(index: Index) -> Mapping[str, np.ndarray]:
    """All examples, by position."""
    return narrow(index, SPLITS, ("wave", "vector", "label"))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in hybrids.shrunk().items():
        monkeypatch.setattr(net, name, value)
    monkeypatch.setattr(keras_ranks, "threads_fixed", lambda threads: None)  # other tests compute


def planned(
    root: Path, profile: Profile | None = None, *, recipe: str = NAME, folds: int = 0,
    ablation: bool = True, ceiling: int = 0, name: str = "a",
) -> list[Any]:  # fmt: skip
    plan, *_ = train.planned(root, recipe, profile or small(), folds, ablation, ceiling, name)
    return list(plan)


# ---- the runs ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("folds", "ablation", "ends"),
    [
        (0, True, ["-raw", "-features", "-unmixed", ""]),
        (0, False, [""]),
        (2, True, ["-raw-1of2", "-features-1of2", "-unmixed-1of2", "-1of2",
                   "-raw-2of2", "-features-2of2", "-unmixed-2of2", "-2of2"]),
        (3, False, ["-1of3", "-2of3", "-3of3"]),
    ],
)  # fmt: skip
def test_each_fold_has_its_variants_and_the_last_is_the_model(
    shards: Path, folds: int, ablation: bool, ends: list[str]
) -> None:
    plan = planned(shards, folds=folds, ablation=ablation)
    assert [one.end for one in plan] == ends
    assert [one.told for one in plan] == [one.config["variant"] == "" for one in plan]
    each = len(ends) // (folds or 1)
    assert [one.told for one in plan] == ([False] * (each - 1) + [True]) * (folds or 1)
    for k, one in enumerate(plan):
        assert one.config["fold"] == ([k // each + 1, folds] if folds else None)
        assert one.end.split("-")[1:2] == [one.config["variant"]] or one.told
        own = {name: plan[-1].config[name] for name in ("fold", "mean", "deviation", "variant")}
        assert {**one.config, **own} == plan[-1].config  # they differ in nothing else


def test_a_fold_is_normalised_by_what_it_learns_from_alone(
    shards: Path, index: Index, stored: Mapping[str, np.ndarray]
) -> None:
    for one in planned(shards, folds=2):
        held = parts(index, tuple(one.config["fold"]))
        seen = stored["vector"][held.train].astype(np.float64)
        np.testing.assert_allclose(one.config["mean"], seen.mean(0), rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(one.config["deviation"], seen.std(0), rtol=1e-5, atol=1e-6)


def test_means_and_deviations_of_the_train_split_are_the_index_s(index: Index) -> None:
    (found,) = moments._moments(index, train._field(index, "vector"), [parts(index, None).train])
    held = index.statistics["vector"]
    np.testing.assert_allclose(found["mean"], held.mean, rtol=1e-12)
    np.testing.assert_allclose(found["deviation"], held.deviation, rtol=1e-9)


@pytest.mark.parametrize(("folds", "ablation"), [(0, True), (0, False), (2, True)])
def test_any_run_knows_all_that_it_was_trained_with(
    shards: Path, folds: int, ablation: bool
) -> None:
    """From what it keeps, as JSON: what resume goes by."""
    plan = planned(shards, folds=folds, ablation=ablation)
    as_kept = json.loads(dump_json([list(one) for one in plan]))
    for _, config, *_ in as_kept:
        again = kind.plan(shards, config)
        assert json.loads(dump_json([list(one) for one in again])) == as_kept


def test_a_plan_comes_with_the_key_of_its_shards(shards: Path, index: Index) -> None:
    *_, key = train.planned(shards, NAME, small(), 0, True, 0, "a")
    assert key == index.key


# ---- what it learns from -----------------------------------------------------------------------


def test_a_configuration_holds_what_training_examples_are_like(
    index: Index, stored: Mapping[str, np.ndarray]
) -> None:
    profile = small(seed=3)
    found = train.configuration(index, profile)
    seen = stored["vector"][parts(index, None).train].astype(np.float64)
    np.testing.assert_allclose(found["mean"], seen.mean(0), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found["deviation"], seen.std(0), rtol=1e-3, atol=1e-6)
    assert (found["recipe"], found["samples"]) == (NAME, SAMPLES)
    assert (found["classes"], found["fold"], found["variant"]) == (hybrids.CLASSES, None, "")
    assert found["heard"]["features"]["vector"]["n_fft"] == 512
    assert profiles.profile_of(found) == profile


@pytest.mark.parametrize(("name", "lacks"), [(MUTE, "vector"), (LONE, "wave")])
def test_a_recipe_that_lacks_a_half_says_what_to_do(shards: Path, name: str, lacks: str) -> None:
    with pytest.raises(DataError) as said:
        planned(shards, recipe=name)
    assert f"{name} has no field {lacks}; expected wave and vector; got " in str(said.value)
    assert str(said.value).endswith(". Name a recipe such as hybrid")


def test_spectrograms_are_no_vectors(index: Index) -> None:
    wide = [replace(f, shape=(2, 39), axes=("a", "b")) if f.name == "vector" else f
            for f in index.fields]  # fmt: skip
    with pytest.raises(DataError, match="no field vector"):
        train.configuration(replace(index, fields=tuple(wide)), small())


def test_a_recipe_without_classes_says_what_to_do(shards: Path) -> None:
    with pytest.raises(DataError, match=f"{BARE} has no classes; expected a label. Name a recipe"):
        planned(shards, recipe=BARE)


Handed = dict[str, Any]


@pytest.fixture
def handed(shards: Path, index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What a run of a variant hands to the engine."""
    names = ("net", "optimizer", "objective", "data", "validate", "run", "settings", "ranks")
    work: Handed = {}
    monkeypatch.setattr(
        train, "fit", lambda *given: work.update(zip((*names, "parts"), given, strict=True))
    )

    def of(variant: str, profile: Profile, **more: Any) -> Handed:
        config = {**train.configuration(index, profile), "variant": variant, **more}
        train.train(fresh(shards, tmp_path / (variant or "whole")), config, "a")
        return work

    return of


@pytest.mark.parametrize("augment", [True, False])
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_variant_is_given_what_its_branches_need(
    handed: Any, index: Index, stored: Mapping[str, np.ndarray], variant: str, augment: bool
) -> None:
    """Training examples alone, each once; vectors only where they are those of the sound."""
    branches, mixed = VARIANTS[variant]

    work = handed(variant, small(augment=augment), parts=4)
    learnt = parts(index, None).train
    seen = []
    for one in work["data"].epoch(0):
        wanted = {"wave"} if augment else set(branches)
        assert set(one) == {*wanted, "label", "position"}
        place = one["position"].numpy()
        assert all(np.array_equal(one[name], stored[name][place]) for name in wanted)
        seen += place.tolist()
    assert learnt[seen].all()
    assert len(set(seen)) == len(seen) == learnt.sum() // hybrids.BATCH * hybrids.BATCH
    assert work["parts"] == 4
    made = work["net"]()
    assert [given.name for given in made.inputs] == list(branches)
    assert len(made.outputs) == (3 if len(branches) > 1 else 1)
    changes, asked = work["objective"].changes, small(augment=augment).augment
    assert (changes is not None) == augment
    if asked:
        assert changes == Changes(**{**asked, "mix": 0.5 if mixed else 0.0})


def test_classes_are_weighed_by_the_training_part(handed: Any, index: Index) -> None:
    held = parts(index, None)
    counts = np.bincount(held.told["label"][held.train])
    weights = handed("", replace(small(), balance=1.0))["objective"].labels.weights
    assert weights[1] / weights[0] == pytest.approx(counts[0] / counts[1], rel=1e-5)
    if counts[0] == counts[1]:
        assert np.array_equal(weights, [1, 1])


def test_a_step_is_one_that_can_be_taken(handed: Any) -> None:
    work = handed("", small())
    (batch,) = work["data"].epoch(0).take(1)
    stub = Stub(("wave", "vector"), lambda given: [tf.zeros((8, 2))] * 3)
    work["objective"](stub, dict(batch), SEED)
    (given,) = stub.seen
    assert given["wave"].shape == (8, SAMPLES // 2)
    assert given["vector"].shape == (8, NUMBERS)


def test_a_net_begins_as_its_seed_says(handed: Any) -> None:
    work = handed("", small())
    first, again = (work["net"]() for _ in range(2))
    for one, other in zip(first.weights, again.weights, strict=True):
        assert np.array_equal(one, other)
    keras.utils.set_random_seed(5)
    other = train.net_of(work["run"].config)
    assert not np.array_equal(other.weights[0], first.weights[0])


def test_only_what_is_multiplied_decays(handed: Any) -> None:
    optimizer = handed("", replace(small(), decay=0.1))["optimizer"]()
    names = ("kernel", "depthwise_kernel", "bias", "gamma", "beta")
    weights = [keras.Variable(np.ones(3, np.float32), name=name) for name in names]
    optimizer.build(weights)
    optimizer.learning_rate.assign(0.5)
    optimizer.apply([tf.zeros(3)] * 5, weights)
    found = [float(w.numpy()[0]) for w in weights]
    assert found == pytest.approx([1 - 0.5 * 0.1, 1 - 0.5 * 0.1, 1, 1, 1])


def test_it_is_judged_by_its_first_answer_to_what_is_stored(
    handed: Any, index: Index, stored: Mapping[str, np.ndarray]
) -> None:
    work = handed("", small())
    made = work["net"]()
    found = work["validate"](made)
    valid = parts(index, None).valid
    given = [tf.constant(stored[name][valid]) for name in ("wave", "vector")]
    likely = scipy.special.softmax(np.asarray(made(given, training=False)[0], np.float64), -1)
    labels = stored["label"][valid]
    wanted = sklearn.metrics.log_loss(labels, likely, labels=[0, 1])
    assert found["loss"] == pytest.approx(wanted, rel=1e-4)
    assert found["accuracy"] == sklearn.metrics.accuracy_score(labels, likely.argmax(-1))


# ---- parts of a batch --------------------------------------------------------------------------


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the memory of a run is reckoned from: net, batch, examples held, ceiling. It always
    comes to four parts."""
    asked: list[Any] = []

    def plan(*given: Any) -> Any:
        asked.append(given)
        return memory.Plan(1 << 30, 1 << 20, 4)

    monkeypatch.setattr(memory, "planned", plan)
    return asked


def begun(root: Path, config: Mapping[str, Any], name: str) -> None:
    """A run of this name, not trained yet."""
    index = load_index(root / NAME)
    with opened(root, MODEL, config, {index.name: index.key}, name=name):
        pass


def test_a_new_training_s_batches_are_cut_as_memory_allows(
    shards: Path, told: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    profile = small()
    plan = planned(shards, profile, ceiling=123 << 20)
    assert {one.config["parts"] for one in plan} == {4}
    ((whole, batch, held, ceiling),) = told  # once, by the largest of the variants
    assert [given.name for given in whole.inputs] == ["wave", "vector"]
    assert batch == hybrids.BATCH
    assert ceiling == 123 << 20
    assert held > 84 * SAMPLES * 4  # all examples that are learnt from, and more
    assert capsys.readouterr().err == (
        "memory: 1 MB expected, ceiling 1.00 GB (batches of 8 in 4 parts)\n"
    )


@pytest.mark.parametrize("part", [0.5, 0.333, 0.9, 1.0])
def test_memory_is_reckoned_for_what_is_learnt_from(
    shards: Path, told: list[Any], part: float
) -> None:
    planned(shards, replace(small(), augment={"crop": part}))
    kept = crop(tf.zeros((1, SAMPLES)), SEED, part).shape[1] if part < 1 else SAMPLES
    assert told[0][0].inputs[0].shape == (None, kept)


def test_less_memory_is_more_parts_and_too_little_is_told(
    shards: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "now", lambda: 0)
    monkeypatch.setattr(memory, "FIXED", 0)
    made = train.net_of(train.configuration(load_index(shards / NAME), small()), SAMPLES // 2)
    monkeypatch.setattr(train, "net_of", lambda *rest: made)
    found = []
    for ceiling in np.linspace(3e6, 7e6, 40).astype(int):
        try:
            found.append(planned(shards, ablation=False, ceiling=int(ceiling))[0].config["parts"])
        except Changed:
            found.append(99)
    assert found == sorted(found, reverse=True)
    assert {found[0], found[-1]} == {99, 1}
    assert set(found) <= {99, 8, 4, 2, 1}
    assert len(set(found)) > 2
    with pytest.raises(Changed, match="MAX_RAM: does not fit; expected .*; got .*. Allow more"):
        planned(shards, ceiling=1)


@pytest.mark.parametrize(
    ("folds", "there"),
    [(0, ""), (0, "-raw"), (0, "-unmixed"), (2, "-1of2"), (2, "-raw-1of2"), (2, "-2of2")],
)
def test_parts_are_kept_whatever_there_is_of_memory_now(
    shards: Path, tmp_path: Path, told: list[Any], folds: int, there: str
) -> None:
    """Of a training that was stopped in any of its runs: its first run may be all there is."""
    root = fresh(shards, tmp_path / "a")
    before = planned(root, folds=folds, name="a")
    (one,) = (one for one in before if one.end == there)
    begun(root, {**one.config, "parts": 2}, f"a{there}")
    told.clear()
    again = planned(root, folds=folds, ceiling=1, name="a")
    assert {each.config["parts"] for each in again} == {2}
    assert not told
    assert {each.config["parts"] for each in planned(root, folds=folds, name="b")} == {4}


def test_a_run_of_before_there_were_parts_has_one(
    shards: Path, tmp_path: Path, told: list[Any]
) -> None:
    root = fresh(shards, tmp_path / "a")
    config = {k: v for k, v in planned(root)[-1].config.items() if k != "parts"}
    begun(root, config, "a")
    assert planned(root)[-1].config["parts"] == 1


# ---- before and after a run ---------------------------------------------------------------------


def test_baselines_learn_from_the_very_numbers_that_the_net_is_given(
    index: Index, stored: Mapping[str, np.ndarray]
) -> None:
    part = parts(index, None).test
    assert np.array_equal(use.vectors({}, index, part), stored["vector"][part])


def test_weights_that_cannot_be_used_say_how_to_get_others(index: Index, tmp_path: Path) -> None:
    config = train.configuration(index, small())
    with opened(tmp_path, MODEL, config, {index.name: index.key}, name="a") as run:
        pass
    with pytest.raises(RunError, match="no checkpoint was scored.*make resume RUN=a"):
        train.best(run.folder)


def test_what_cannot_be_trained_from_is_found_before_there_is_a_run(
    shards: Path, index: Index, tmp_path: Path
) -> None:
    root = fresh(shards, tmp_path / "a")
    config = train.configuration(index, small())
    with pytest.raises(DataError, match="fewer groups than folds"):
        train.train(root, {**config, "fold": [1, 99]}, "a")
    assert not (root / "runs").exists()
    assert corpus.leftovers(root) == []
