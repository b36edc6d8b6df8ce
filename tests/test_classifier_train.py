"""What a classifier learns from, is asked and is judged by: against numpy, scipy and scikit-learn.

Reads and writes: shards of a tiny corpus and runs in pytest's folders.
"""

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

from tests import balanced, classifying, corpus, here  # noqa: E402
from tests.classifying import ANSWERS, NAME, fresh  # noqa: E402
from tests.smallest import tiny  # noqa: E402
from training.classes import moments  # noqa: E402
from training.classes.parts import parts  # noqa: E402
from training.classes.validation import Validation  # noqa: E402
from training.classifier import MODEL, kind, profiles, train  # noqa: E402
from training.classifier.loss import Objective  # noqa: E402
from training.classifier.profiles import Profile  # noqa: E402
from training.classifier.teacher import TEACHER, taught  # noqa: E402
from training.data.fields import spectrum  # noqa: E402
from training.data.index import SPLITS, DataError, Index, load_index  # noqa: E402
from training.data.tf_data import narrow  # noqa: E402
from training.durable import hash_of  # noqa: E402
from training.engine import keras_ranks  # noqa: E402
from training.engine.checkpoint import Checkpoints  # noqa: E402
from training.errors import Changed, RunError  # noqa: E402
from training.graph import answers  # noqa: E402
from training.graph.answers import Asked, softmax  # noqa: E402
from training.run import cores, opened, read_config, read_metrics  # noqa: E402

PLAIN = replace(
    profiles.PROFILES["demo"], backbone="mn", batch=8, smoothing=0.0, balance=0.0, augment=None
)
RECIPE = {"features": {"logmel": {"log": "db"}}}
SEED = tf.constant([3, 4], tf.int32)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("classifier-train")
    made = classifying.build(root)
    wave = here.changed(corpus.CLASSES, name="tiny-wave", output__fields=["wave", "label"])
    here.features(root / "data", made, corpus.recipes(root / "more", wave))
    return made


@pytest.fixture(scope="module")
def index(shards: Path) -> Index:
    return load_index(shards / NAME)


@pytest.fixture(scope="module")
def stored(index: Index) -> Mapping[str, np.ndarray]:
    """All examples, by position."""
    return narrow(index, SPLITS, ("logmel", "label", "valid"))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train, "make_net", tiny)
    monkeypatch.setattr(keras_ranks, "threads_fixed", lambda threads: None)  # other tests compute


# ------------------------------------------------------------------ the loss of a step


def batch(count: int = 6, classes: int = 3) -> dict[str, Any]:
    """Features whose first frame is what `first` answers."""
    random = np.random.default_rng(0)
    x = random.normal(0, 2, (count, 4, classes)).astype(np.float32)
    return {"logmel": tf.constant(x), "label": tf.constant(np.arange(count) % classes, tf.int32)}


def first(x: Any, training: bool) -> Any:
    assert training
    return x[:, 0]


def losses(profile: Profile, one: dict[str, Any], counts: list[int]) -> np.ndarray:
    objective = Objective(profile, "logmel", RECIPE, counts)
    return np.asarray(objective(first, one, SEED)[0])  # type: ignore[arg-type]


def test_cross_entropy_and_how_many_are_right() -> None:
    one = batch()
    objective = Objective(PLAIN, "logmel", RECIPE, [5, 5, 5])
    found, more = objective(first, one, SEED)  # type: ignore[arg-type]
    logits, labels = one["logmel"].numpy()[:, 0], one["label"].numpy()
    np.testing.assert_allclose(found, balanced.entropy(np.eye(3)[labels], logits), rtol=1e-5)
    assert list(more) == ["accuracy"]
    assert np.array_equal(more["accuracy"], logits.argmax(-1) == labels)
    assert 0 < np.mean(more["accuracy"]) < 1


@pytest.mark.parametrize("part", [0.1, 0.5])
def test_smoothing_spreads_a_part_over_all_classes(part: float) -> None:
    one = batch()
    wanted = np.eye(3)[one["label"]] * (1 - part) + part / 3
    found = losses(replace(PLAIN, smoothing=part), one, [5, 5, 5])
    np.testing.assert_allclose(
        found, balanced.entropy(wanted, one["logmel"].numpy()[:, 0]), rtol=1e-5
    )


@pytest.mark.parametrize("part", [0.0, 0.9, 1.0])
def test_a_teacher_has_its_part_of_the_loss(part: float) -> None:
    one = batch()
    theirs = np.random.default_rng(1).dirichlet(np.ones(3), 6).astype(np.float32)
    found = losses(replace(PLAIN, distil=part, smoothing=0.1), one | {TEACHER: theirs}, [5, 5, 5])
    wanted = np.eye(3)[one["label"]] * 0.9 + 0.1 / 3
    mixed = (1 - part) * wanted + part * theirs  # cross-entropy is linear in what is wanted
    np.testing.assert_allclose(
        found, balanced.entropy(mixed, one["logmel"].numpy()[:, 0]), rtol=1e-5
    )


@pytest.mark.parametrize("counts", balanced.COUNTS)
@pytest.mark.parametrize("balance", balanced.BALANCES)
def test_classes_weigh_1_on_average_and_rare_ones_more(counts: list[int], balance: float) -> None:
    weights = Objective(replace(PLAIN, balance=balance), "logmel", RECIPE, counts).labels.weights
    balanced.assert_weights(weights, counts, balance)


def test_the_weight_of_a_class_is_that_of_its_loss() -> None:
    one = batch()
    plain, weighed = (losses(replace(PLAIN, balance=b), one, [90, 9, 1]) for b in (0.0, 1.0))
    balanced.assert_rare_ones_count_more(plain, weighed)


def test_mixed_examples_have_mixed_labels_weights_and_teachers() -> None:
    """Of one class all features are 0, of the other 10: they tell how much is in them of each."""
    labels = np.arange(64) % 2
    x = np.repeat(labels, 2 * 3).reshape(64, 2, 3).astype(np.float32) * 10
    theirs = np.stack([0.8 - 0.6 * labels, 0.2 + 0.6 * labels], 1).astype(np.float32)
    seen = []

    def net(x: Any, training: bool) -> Any:
        seen.append(x.numpy())
        return tf.stack([x[:, 0, 0], 3 * x[:, 0, 1]], 1) / 10

    profile = replace(PLAIN, augment={"mixup": 1.0}, balance=1.0, distil=0.3)
    objective = Objective(profile, "logmel", RECIPE, [48, 16])
    one = {"logmel": tf.constant(x), "label": tf.constant(labels, tf.int32), TEACHER: theirs}
    found, _ = objective(net, one, SEED)  # type: ignore[arg-type]
    part = seen[0][:, 0, 0] / 10
    assert np.sum((part > 0.05) & (part < 0.95)) > 5
    wanted = 0.7 * np.stack([1 - part, part], 1) + 0.3 * np.stack(
        [0.8 - 0.6 * part, 0.2 + 0.6 * part], 1
    )
    weight = (1 - part) * objective.labels.weights[0] + part * objective.labels.weights[1]
    logits = np.stack([part, 3 * part], 1)
    np.testing.assert_allclose(found, weight * balanced.entropy(wanted, logits), rtol=1e-4)


def test_examples_are_changed_by_the_seed_and_as_the_recipe_has_its_logarithm() -> None:
    seen = []

    def net(x: Any, training: bool) -> Any:
        seen.append(x.numpy())
        return x[:, 0]

    one = batch()
    for log, seed in (({"log": "db"}, SEED), ({"log": "db"}, SEED + 1), ({"log": "ln", "eps": 1e-9},
                                                                        SEED)):  # fmt: skip
        recipe = {"features": {"logmel": log}}
        objective = Objective(replace(PLAIN, augment={"gain": 6.0}), "logmel", recipe, [1] * 3)
        objective(net, one, seed)  # type: ignore[arg-type]
    db, other, ln = (x - one["logmel"].numpy() for x in seen)
    np.testing.assert_allclose(db - db[:, :1, :1], 0, atol=1e-5)  # one change for an example
    np.testing.assert_allclose(ln, db / 10 * np.log(10), atol=1e-4)
    assert np.abs(other - db).max() > 0.1


# ------------------------------------------------------------------ what answers are worth


def test_answers_come_in_the_order_of_the_index(
    index: Index, stored: Mapping[str, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "AT_ONCE", 7)  # the last batch is smaller
    net = tiny("x", (17, 32), 2, [-40.0] * 32, [10.0] * 32)
    part = parts(index, None).valid
    found = Asked(index, part, ["logmel"])(net)
    assert found.dtype == np.float32
    wanted = net(stored["logmel"][part], training=False)
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    assert len(np.unique(found, axis=0)) > len(found) // 2


def test_a_net_is_traced_once_and_another_is_asked_itself(index: Index) -> None:
    traced = []

    def net(x: Any, training: bool) -> Any:
        traced.append(training)
        return x[:, 0, :2]

    ask = Asked(index, parts(index, None).valid, ["logmel"])
    first, again = ask(net), ask(net)  # type: ignore[arg-type]
    assert traced == [False]
    assert np.array_equal(first, again)
    other = ask(lambda x, training: x[:, 1, :2])  # type: ignore[arg-type]
    assert not np.array_equal(first, other)


def test_a_run_is_judged_as_scikit_learn_would(index: Index) -> None:
    held = parts(index, None)
    labels = held.told["label"][held.valid].copy()
    labels[:3] = 1 - labels[:3]  # or it would be right each time
    net = tiny("x", (17, 32), 2, [-40.0] * 32, [10.0] * 32)
    found = Validation(index, held.valid, ["logmel"], labels)(net)
    likely = scipy.special.softmax(Asked(index, held.valid, ["logmel"])(net).astype(float), -1)
    best = likely.argmax(-1)
    assert found["loss"] == pytest.approx(sklearn.metrics.log_loss(labels, likely), rel=1e-6)
    assert found["accuracy"] == sklearn.metrics.accuracy_score(labels, best)
    wanted = sklearn.metrics.f1_score(labels, best, average="macro", zero_division=0)
    assert found["macro_f1"] == pytest.approx(wanted)
    assert 0 < found["accuracy"] < 1


def test_what_is_certain_and_wrong_has_a_finite_loss(index: Index) -> None:
    held = parts(index, None).valid
    sure = lambda x, training: tf.one_hot(tf.zeros(len(x), tf.int32), 2) * 1e4  # noqa: E731
    found = Validation(index, held, ["logmel"], np.ones(held.sum(), np.int32))(sure)  # type: ignore[arg-type]
    assert np.isfinite(found["loss"])
    assert found["loss"] > 10


def test_softmax_is_scipys() -> None:
    logits = np.array([[1.0, 2.0, 3.0], [1e4, 0.0, -1e4], [-9e4, -9e4, -9e4]], np.float32)
    wanted = scipy.special.softmax(logits.astype(np.float64), -1)
    np.testing.assert_allclose(softmax(logits), wanted, rtol=1e-12)
    assert softmax(logits).dtype == np.float64


# ------------------------------------------------------------------ a run


def test_a_configuration_holds_what_training_examples_are_like(
    index: Index, stored: Mapping[str, np.ndarray]
) -> None:
    found = train.configuration(index, PLAIN)
    part = parts(index, None).train
    own = np.arange(17) * 256 < stored["valid"][part][:, None]  # frames of sound, not of padding
    seen = stored["logmel"][part][own].astype(np.float64)
    np.testing.assert_allclose(found["mean"], seen.mean(0), rtol=1e-5)
    np.testing.assert_allclose(found["deviation"], seen.std(0), rtol=1e-4)
    assert (found["recipe"], found["features"], found["shape"]) == (NAME, "logmel", [17, 32])
    assert (found["classes"], found["fold"], found["teachers"]) == (["hum", "rain"], None, [])
    assert found["heard"]["features"]["logmel"]["n_fft"] == 512
    assert profiles.profile_of(found) == PLAIN


def test_a_fold_is_normalised_by_what_it_learns_from_alone(
    shards: Path, index: Index, stored: Mapping[str, np.ndarray]
) -> None:
    plan, _ = train.planned(shards, NAME, PLAIN, [], "", 3)
    own, found = np.arange(17) * 256 < stored["valid"][:, None], []
    assert not own.all()
    for k, (end, config, *_) in enumerate(plan):
        held = parts(index, (k + 1, 3))
        seen = stored["logmel"][held.train][own[held.train]].astype(np.float64)
        np.testing.assert_allclose(config["mean"], seen.mean(0), rtol=1e-9)
        np.testing.assert_allclose(config["deviation"], seen.std(0), rtol=1e-6)
        assert (end, config["fold"]) == (f"-{k + 1}of3", [k + 1, 3])
        found.append(config["mean"])
        rest = {name: config[name] for name in config if name not in ("fold", "mean", "deviation")}
        assert rest == {name: plan[0].config[name] for name in rest}
        assert kind.plan(shards, config) == plan  # what resume goes by
    assert len({tuple(mean) for mean in found}) == 3
    (alone,), _ = train.planned(shards, NAME, PLAIN, [], "", 0)
    assert alone.config == train.configuration(index, PLAIN)
    assert kind.plan(shards, alone.config) == [alone]


def test_means_and_deviations_of_the_train_split_are_the_index_s(index: Index) -> None:
    (found,) = moments._moments(index, spectrum(index), [parts(index, None).train])
    held = index.statistics["logmel"]
    np.testing.assert_allclose(found["mean"], held.mean, rtol=1e-12)
    np.testing.assert_allclose(found["deviation"], held.deviation, rtol=1e-9)


def test_no_value_of_what_a_fold_leaves_out_counts(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    mask, field = parts(index, (1, 3)).train.copy(), spectrum(index)
    order = [shard for split in SPLITS for shard in index.shards(split, "hdf5")]
    ends = np.cumsum([shard.examples for shard in order])
    want = moments.of_folds(index, field, 3)

    def spoilt(index: Index, shard: Any, names: Any, real: Any = moments.read_shard) -> Any:
        found, end = real(index, shard, names), ends[order.index(shard)]
        out = ~mask[end - shard.examples : end]
        found["logmel"][out], found["valid"][out] = np.nan, 0
        return found

    monkeypatch.setattr(moments, "read_shard", spoilt)
    first, *others = moments.of_folds(index, field, 3)
    assert first == want[0]
    assert all(np.isnan(one["mean"]).all() for one in others)
    mask[np.flatnonzero(mask)[-1]] = False
    assert np.isnan(moments.of_folds(index, field, 3)[0]["mean"]).all()


def test_shards_that_tensorflow_reads_are_summed_alike(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its threads are fixed before."""
    want, fixed = moments.of_folds(index, spectrum(index), 2), []
    monkeypatch.setattr(moments, "joined", fixed.append)
    only = tuple(shard for shard in index.entries if shard.format == "tfrecord")
    found = moments.of_folds(replace(index, entries=only), spectrum(index), 2)
    assert fixed == [cores()]
    for one, other in zip(found, want, strict=True):
        assert one["fold"] == other["fold"]
        np.testing.assert_allclose(one["mean"], other["mean"], rtol=1e-12)
        np.testing.assert_allclose(one["deviation"], other["deviation"], rtol=1e-9)


def test_files_are_noted_with_their_hashes(index: Index, shards: Path, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"abc")
    teacher = shards / ANSWERS
    found = train.configuration(index, PLAIN, teachers=[teacher], start=tmp_path / "x")
    assert found["teachers"] == [[str(teacher), hash_of(teacher)]]
    key = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert key in found["start"]


def test_there_must_be_one_spectrogram(shards: Path, index: Index) -> None:
    with pytest.raises(DataError, match="not one spectrogram; expected a field of frames and mels"):
        spectrum(load_index(shards / "tiny-wave"))
    logmel = spectrum(index)
    two = replace(index, fields=(*index.fields, replace(logmel, name="other")))
    with pytest.raises(DataError, match="not one spectrogram.*got logmel, .*other"):
        spectrum(two)


Work = dict[str, Any]


@pytest.fixture
def handed(shards: Path, index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Work:
    """What a run hands to the engine."""
    work: Work = {}
    names = ("net", "optimizer", "objective", "data", "validate", "run", "settings", "ranks")
    monkeypatch.setattr(train, "fit", lambda *given: work.update(zip(names, given, strict=True)))
    config = train.configuration(
        index, replace(PLAIN, balance=0.5, decay=0.1), teachers=[shards / ANSWERS]
    )
    work["config"] = config
    train.train(fresh(shards, tmp_path / "a"), config, "a")
    return work


def test_what_a_batch_holds(
    handed: Work, shards: Path, index: Index, stored: Mapping[str, np.ndarray]
) -> None:
    """Training examples alone, as stored, each once, each with its own answer of the teacher."""
    held, seen = parts(index, None), []
    theirs = taught(handed["config"]["teachers"], index, held.train)[TEACHER]
    for one in handed["data"].epoch(0):
        assert set(one) == {"logmel", "label", "position", TEACHER}
        place = one["position"].numpy()
        assert len(place) == 8
        for name in ("logmel", "label"):
            assert np.array_equal(one[name], stored[name][place])
        assert np.array_equal(one[TEACHER], theirs[place])
        seen += place.tolist()
    assert held.train[seen].all()
    assert len(set(seen)) == len(seen) == held.train.sum() // 8 * 8


def test_without_changes_the_net_sees_what_is_stored(
    handed: Work, stored: Mapping[str, np.ndarray]
) -> None:
    seen = []

    def net(x: Any, training: bool) -> Any:
        seen.append(x.numpy())
        return x[:, 0, :2]

    (one,) = handed["data"].epoch(0).take(1)
    handed["objective"](net, one, SEED)
    assert np.array_equal(seen[0], stored["logmel"][one["position"].numpy()])


def test_classes_are_weighed_by_the_training_part(handed: Work, index: Index) -> None:
    held = parts(index, None)
    counts = np.bincount(held.told["label"][held.train])
    weights = handed["objective"].labels.weights
    assert weights[1] / weights[0] == pytest.approx((counts[0] / counts[1]) ** 0.5, rel=1e-5)
    assert counts[0] != counts[1]


def test_only_what_is_multiplied_decays(handed: Work) -> None:
    optimizer = handed["optimizer"]()
    names = ("kernel", "bias", "gamma", "beta")
    weights = [keras.Variable(np.ones(3, np.float32), name=name) for name in names]
    optimizer.build(weights)
    optimizer.learning_rate.assign(0.5)
    optimizer.apply([tf.zeros(3)] * 4, weights)
    found = [float(w.numpy()[0]) for w in weights]
    assert found == pytest.approx([1 - 0.5 * 0.1, 1, 1, 1])


def test_a_net_begins_as_its_seed_says(handed: Work) -> None:
    one, same = (handed["net"]().get_layer("logits").kernel.numpy() for _ in range(2))
    assert np.array_equal(one, same)
    keras.utils.set_random_seed(5)
    other = train._net(handed["config"]).get_layer("logits").kernel.numpy()
    assert not np.array_equal(one, other)


def test_a_trained_run_is_what_was_judged_best(shards: Path, index: Index, tmp_path: Path) -> None:
    settings = replace(PLAIN.settings, epochs=3, warmup=0, rate=0.05)
    config = train.configuration(index, replace(PLAIN, settings=settings))
    made = train.train(fresh(shards, tmp_path / "a"), config, "a")
    assert made is not None
    folder, result = made
    one, held = train.best(folder), parts(index, None)
    scores = [row["loss"] for row in read_metrics(folder) if row["kind"] == "valid"]
    assert len(scores) == 3
    found = Validation(index, held.valid, ["logmel"], held.told["label"][held.valid])(one.net)
    assert found["loss"] == pytest.approx(min(scores), rel=1e-5)
    assert "best" in Checkpoints(folder).best().name
    assert (one.folder, one.fold, one.config["recipe"]) == (folder, None, NAME)
    normal = one.net.get_layer("normalised")
    np.testing.assert_allclose(np.ravel(normal.mean), config["mean"], rtol=1e-6)


def test_what_cannot_be_trained_from_is_found_before_there_is_a_run(
    shards: Path, index: Index, tmp_path: Path
) -> None:
    root = fresh(shards, tmp_path / "a")
    config = train.configuration(index, replace(PLAIN, batch=8))
    for change, said in (
        ({"fold": [1, 99]}, "fewer groups than folds"),
        ({"teachers": [[str(root / NAME / "index.json"), "0" * 64]]}, "have changed since"),
    ):
        with pytest.raises((DataError, Changed), match=said):
            train.train(root, config | change, "a")
    assert not (root / "runs").exists()


def test_a_run_that_cannot_begin_leaves_its_name_free(
    shards: Path, index: Index, tmp_path: Path
) -> None:
    root, rubbish = fresh(shards, tmp_path / "a"), tmp_path / "rubbish"
    rubbish.write_bytes(b"no weights")
    config = train.configuration(index, replace(PLAIN, batch=8), start=rubbish)
    with opened(root, MODEL, config, {index.name: index.key}, name="old"):
        pass
    for name in ("old", "new"):
        with pytest.raises(Changed, match="no file of weights"):
            train.train(root, config, name)
    assert [folder.name for folder in (root / "runs" / MODEL).iterdir()] == ["old"]
    assert read_config(root / "runs" / MODEL / "old")["config"] == config


def test_weights_that_cannot_be_used_say_how_to_get_others(index: Index, tmp_path: Path) -> None:
    config = train.configuration(index, replace(PLAIN, batch=8))
    with opened(tmp_path, MODEL, config, {index.name: index.key}, name="a") as run:
        pass
    folder = run.folder
    with pytest.raises(RunError, match="no checkpoint was scored.*make resume RUN=a"):
        train.best(folder)
    path = Checkpoints(folder).save(3, {"learner": {}}, best=True)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(RunError, match=f"{path.name}: damaged.*Remove .*make train-classifier"):
        train.best(folder)


def test_shards_that_were_built_anew_are_named_and_nothing_else(
    shards: Path, index: Index, tmp_path: Path
) -> None:
    root, other = fresh(shards, tmp_path / "a"), "0" * 64
    config = train.configuration(index, replace(PLAIN, batch=8))
    with opened(root, MODEL, {**config, "mean": [0.0]}, {index.name: other}, name="a"):
        pass
    with pytest.raises(Changed, match="built anew since the run was trained") as said:
        train.train(root, config, "a")
    assert f"expected {other[:16]}; got {index.key[:16]}. " in str(said.value)
    assert "RUN=" in str(said.value)
