"""What a tagger learns from, starts from, is asked and is judged by: against numpy, scipy and
scikit-learn; what it hears of a track against the shards; what it is measured beside.

Reads and writes: shards of a tiny corpus, sounds and runs in pytest's folders. The net is as small
as a net can be.
"""

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.special
import sklearn.metrics

tf = pytest.importorskip("tensorflow")
pytest.importorskip("matplotlib")

import keras  # noqa: E402

from tests import tagging  # noqa: E402
from tests.here import fresh  # noqa: E402
from tests.tagging import BATCH, NAME, TAGS, tiny  # noqa: E402
from training import durable  # noqa: E402
from training.data.index import SPLITS, DataError, Index, load_index  # noqa: E402
from training.data.tf_data import narrow  # noqa: E402
from training.engine import keras_ranks, keras_train  # noqa: E402
from training.engine.checkpoint import Checkpoints, load, weights  # noqa: E402
from training.engine.keras_learner import variables  # noqa: E402
from training.errors import Changed, RunError  # noqa: E402
from training.graph import answers  # noqa: E402
from training.run import read_config, read_metrics  # noqa: E402
from training.tagger import MODEL, profiles, report, train, use  # noqa: E402
from training.tagger.baselines import MFCC, OFTEN  # noqa: E402
from training.tagger.loss import Objective  # noqa: E402
from training.tagger.tag import tagged  # noqa: E402
from training.tagger.train import Part, Validation, sigmoid  # noqa: E402

Stored = Mapping[str, np.ndarray]

_DEMO = profiles.PROFILES["demo"]
SMALL = replace(
    _DEMO, batch=BATCH, augment=None,
    settings=replace(_DEMO.settings, epochs=3, warmup=0, rate=0.02, ema=0.0),
)  # fmt: skip
TURNED = [1, 0, 2, 3]  # the first two words each in the other's place
FEW, WIDE, PLAIN = "tiny-few", "tiny-wide", "tiny-plain"
SEED = tf.constant([3, 4], tf.int32)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tagger-train")
    return tagging.build(root, tagging.FEW, tagging.WIDE, tagging.PLAIN)


@pytest.fixture(scope="module")
def index(shards: Path) -> Index:
    return load_index(shards / NAME)


@pytest.fixture(scope="module")
def stored(index: Index) -> Stored:
    """All patches, by position."""
    return narrow(index, SPLITS, ("logmel", "tags", "group", "source"))


@pytest.fixture(scope="module", autouse=True)
def quick() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "make_net", tiny)
        patch.setattr(keras_ranks, "threads_fixed", lambda threads: None)  # other tests compute
        yield


@pytest.fixture(scope="module")
def run(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run; to be read only."""
    root = fresh(shards, tmp_path_factory.mktemp("run") / "artifacts")
    made = train.train(root, train.configuration(load_index(root / NAME), SMALL), "a")
    assert made is not None
    return made[0]


def net(seed: int = 5) -> Any:
    keras.utils.set_random_seed(seed)
    return tiny("x", (tagging.FRAMES, tagging.MELS), len(TAGS), 0.5, 0.7, 0.008)


def part_of(index: Index, split: str) -> np.ndarray:
    """Of all positions, those of a split."""
    return np.repeat([one == split for one in SPLITS], [index.examples(one) for one in SPLITS])


# ------------------------------------------------------------------ the loss of a step


def test_the_loss_is_the_mean_cross_entropy_of_all_tags() -> None:
    random = np.random.default_rng(0)
    x = random.normal(0, 3, (6, 5, 4)).astype(np.float32)
    tags = random.integers(0, 2, (6, 4)).astype(np.uint8)
    one = {"logmel": tf.constant(x), "tags": tf.constant(tags)}
    asked = []

    def first(x: Any, training: bool) -> Any:
        asked.append(training)
        return x[:, 0]

    recipe = {"features": {"logmel": {"log": "log10_1p", "c": 1e4}}}
    found, more = Objective(SMALL, "logmel", recipe)(first, one, SEED)  # type: ignore[arg-type]
    likely = scipy.special.expit(x[:, 0].astype(np.float64))
    each = [sklearn.metrics.log_loss(t, p, labels=[0, 1])
            for t, p in zip(tags, likely, strict=True)]  # fmt: skip
    np.testing.assert_allclose(found, each, rtol=1e-5)
    assert (asked, more) == ([True], {})


def test_mixed_patches_have_mixed_tags() -> None:
    """Of the untagged all numbers are 0, of the tagged 1: a patch tells how much of either it
    holds."""
    tags = np.repeat(np.arange(64)[:, None] % 2, 3, 1).astype(np.uint8)
    x = np.tile(tags[:, None, :1], (1, 4, 1)).astype(np.float32)
    seen = []

    def net(x: Any, training: bool) -> Any:
        seen.append(x.numpy())
        return tf.zeros((len(x), 3)) + [4.0, 1.0, -2.0]

    mixes = replace(SMALL, augment={"mixup": 1.0})
    recipe = {"features": {"logmel": {"log": "log10_1p", "c": 1e4}}}
    one = {"logmel": tf.constant(x), "tags": tf.constant(tags)}
    found, _ = Objective(mixes, "logmel", recipe)(net, one, SEED)  # type: ignore[arg-type]
    part = seen[0][:, 0].astype(np.float64)
    assert np.sum((part > 0.05) & (part < 0.95)) > 5
    likely = scipy.special.expit([4.0, 1.0, -2.0])
    each = -(part * np.log(likely) + (1 - part) * np.log(1 - likely))
    np.testing.assert_allclose(found, each.mean(1), rtol=1e-4)
    assert np.ptp(found) > 0.5


# ------------------------------------------------------------------ who is on which side


def test_no_artist_is_in_two_parts(shards: Path, index: Index) -> None:
    """By the corpus' own list: what the artist of each recording is."""
    lines = (shards.parent / "data" / "melmill.csv").read_text().splitlines()[1:]
    artist = {line.split(",")[0]: line.split(",")[3] for line in lines}
    rows = map(json.loads, (shards / "manifest.jsonl").read_text().splitlines())
    path = {row["id"][:32].encode(): row["path"] for row in rows if "id" in row}
    parts = {split: Part(index, split, "logmel") for split in SPLITS}
    artists = {split: {artist[path[source]] for source in part.rows["sources"]}
               for split, part in parts.items()}  # fmt: skip
    assert sum(len(held) for held in artists.values()) == len(set(artist.values()))
    assert set.union(*artists.values()) == set(artist.values())
    assert all(len(held) > 1 for held in artists.values())
    assert sum(len(part.tags) for part in parts.values()) == tagging.PATCHES
    groups = [set(part.rows["groups"].tolist()) for part in parts.values()]
    assert sum(map(len, groups)) == len(set.union(*groups)) == len(set(artist.values()))


def test_a_part_is_its_split_alone(index: Index, stored: Stored) -> None:
    names = {"tags": "tags", "groups": "group", "sources": "source"}
    for split in SPLITS:
        part, mask = Part(index, split, "logmel"), part_of(index, split)
        assert np.array_equal(part.mask, mask)
        for mine, name in names.items():
            assert np.array_equal(part.rows[mine], stored[name][mask])
        assert part.tags.dtype == np.bool_


# ------------------------------------------------------------------ what answers are worth


def test_answers_are_probabilities_in_the_order_of_the_index(
    index: Index, stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "AT_ONCE", 7)  # the last batch is smaller
    one = net()
    for split in SPLITS:
        found = Part(index, split, "logmel").answers(one)
        wanted = tagging.answered(one, stored["logmel"][part_of(index, split)])
        np.testing.assert_allclose(found, wanted, atol=1e-6)
        assert len(np.unique(found, axis=0)) > len(found) // 2


def test_sigmoid_is_scipys() -> None:
    logits = np.array([[-9e4, -90.0, -1.5, 0.0, 2.0, 40.0, 9e4]], np.float32)
    found = sigmoid(logits)
    np.testing.assert_allclose(found, scipy.special.expit(logits.astype(np.float64)), rtol=1e-12)
    assert found.dtype == np.float64


def by_hand(rows: Stored, likely: np.ndarray) -> tuple[list[float], list[float]]:
    """Average precision and area under the ROC curve of each tag that some tracks have, of tracks
    that are taken together one by one."""
    tracks = sorted(set(rows["sources"]))
    mean = np.array([likely[rows["sources"] == track].mean(0) for track in tracks])
    truth = np.array([rows["tags"][rows["sources"] == track][0] for track in tracks])
    some = [k for k in range(truth.shape[1]) if 0 < truth[:, k].sum() < len(tracks)]
    precision = [sklearn.metrics.average_precision_score(truth[:, k], mean[:, k]) for k in some]
    return precision, [sklearn.metrics.roc_auc_score(truth[:, k], mean[:, k]) for k in some]


def test_a_run_is_judged_by_tracks_as_scikit_learn_would(index: Index, stored: Stored) -> None:
    judge, one = Validation(index, "logmel"), net(6)
    rows, mask = judge.part.rows, part_of(index, "valid")
    likely = tagging.answered(one, stored["logmel"][mask])
    found = judge(one)
    precision, area = by_hand(rows, likely)
    assert len(precision) >= 2
    assert found["pr_auc"] == pytest.approx(np.mean(precision))
    assert found["roc_auc"] == pytest.approx(np.mean(area))
    loss = sklearn.metrics.log_loss(stored["tags"][mask].ravel(), likely.ravel())
    assert found["loss"] == pytest.approx(loss, rel=1e-6)
    assert 0 < found["roc_auc"] < 1
    patches = [sklearn.metrics.roc_auc_score(rows["tags"][:, k], likely[:, k])
               for k in range(len(TAGS)) if 0 < rows["tags"][:, k].mean() < 1]  # fmt: skip
    assert abs(np.mean(patches) - found["roc_auc"]) > 1e-3  # which patches alone are not


def test_what_is_certain_and_wrong_has_a_finite_loss(index: Index) -> None:
    wrong = lambda x, training: tf.zeros((len(x), 4)) - 1e4  # noqa: E731
    found = Validation(index, "logmel")(wrong)  # type: ignore[arg-type]
    assert np.isfinite(found["loss"])
    assert found["loss"] > 1000
    assert found["roc_auc"] == 0.5


# ------------------------------------------------------------------ a run


def test_a_configuration_holds_what_training_patches_are_like(index: Index, stored: Stored) -> None:
    found = train.configuration(index, SMALL)
    seen = stored["logmel"][part_of(index, "train")].astype(np.float64)
    assert found["mean"] == pytest.approx(seen.mean(), rel=1e-5)
    assert found["deviation"] == pytest.approx(seen.std(), rel=1e-4)
    assert (found["recipe"], found["features"], found["start"]) == (NAME, "logmel", None)
    assert (found["tags"], found["shape"]) == (TAGS, [tagging.FRAMES, tagging.MELS])
    assert found["heard"]["features"]["logmel"]["n_fft"] == 128
    assert profiles.profile_of(found) == SMALL
    normal = train.net_of(found).get_layer("normalised")
    assert float(np.ravel(normal.mean)[0]) == pytest.approx(seen.mean(), rel=1e-5)


def test_the_step_of_a_net_is_in_seconds(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Any] = []
    monkeypatch.setattr(train, "make_net", lambda *rest: given.append(rest))
    train.net_of(train.configuration(index, SMALL))
    ((name, shape, tags, *_, step),) = given
    assert (name, shape, tags) == ("musicnn-small", (tagging.FRAMES, tagging.MELS), len(TAGS))
    assert step == pytest.approx(0.008)  # 64 samples at 8 kHz


def test_a_recipe_without_tags_says_what_to_do(shards: Path, index: Index) -> None:
    wanted = "has no tags; expected tags. Name a recipe with tags, such as musicnn"
    for one in (load_index(shards / PLAIN), replace(index, tags=())):
        with pytest.raises(DataError, match=f"{one.name} {wanted}$"):
            train.configuration(one, SMALL)
    (tags,) = [field for field in index.fields if field.name == "tags"]
    with pytest.raises(DataError, match=wanted):  # of waves alone: not that a spectrum is missing
        train.configuration(replace(index, tags=(), fields=(tags,)), SMALL)


@pytest.mark.parametrize("split", SPLITS)
def test_a_part_with_nothing_in_it_is_found_before_there_is_a_run(
    shards: Path, index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, split: str
) -> None:
    config = train.configuration(index, SMALL)
    less = replace(index, entries=tuple(one for one in index.entries if one.split != split))
    monkeypatch.setattr(keras_train, "load_index", lambda path: less)
    said = f"nothing in {split}; expected an example; got 0. Add recordings of more artists"
    root = fresh(shards, tmp_path / "a")
    for begin in (lambda: train.train(root, config, "a"), lambda: train.configuration(less, SMALL)):
        with pytest.raises(DataError, match=said):
            begin()
    assert not (root / "runs").exists()


Work = dict[str, Any]


@pytest.fixture
def handed(shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Work]:
    """What a run hands to the engine."""
    names = ("net", "optimizer", "objective", "data", "validate", "run", "settings", "ranks")
    root = fresh(shards, tmp_path / "a")

    def begun(config: Mapping[str, Any]) -> Work:
        work: Work = {}
        with monkeypatch.context() as patch:
            patch.setattr(train, "fit", lambda *given: work.update(zip(names, given, strict=True)))
            train.train(root, config, "a")
        return work

    return begun


def test_what_a_batch_holds(handed: Callable[..., Work], index: Index, stored: Stored) -> None:
    """Training patches alone, as stored, each once; nothing of an artist of another part."""
    work, seen = handed(train.configuration(index, SMALL)), []
    for one in work["data"].epoch(0):
        assert set(one) == {"logmel", "tags", "position"}
        place = one["position"].numpy()
        assert len(place) == BATCH
        for name in ("logmel", "tags"):
            assert np.array_equal(one[name], stored[name][place])
        seen += place.tolist()
    mask = part_of(index, "train")
    assert mask[seen].all()
    assert len(set(seen)) == len(seen) == mask.sum() // BATCH * BATCH
    others = set(stored["group"][~mask])
    assert others
    assert not others & set(stored["group"][seen])


def test_a_net_begins_as_its_seed_says(handed: Callable[..., Work], index: Index) -> None:
    config = train.configuration(index, SMALL)
    work = handed(config)
    one, same = (work["net"]().get_layer("logits").get_weights()[0] for _ in range(2))
    assert np.array_equal(one, same)
    keras.utils.set_random_seed(5)
    assert not np.array_equal(one, train.net_of(config).get_layer("logits").get_weights()[0])


def test_only_what_is_multiplied_decays(handed: Callable[..., Work], index: Index) -> None:
    optimizer = handed(train.configuration(index, replace(SMALL, decay=0.1)))["optimizer"]()
    held = [keras.Variable(np.ones(3, np.float32), name=name)
            for name in ("kernel", "bias", "gamma", "beta")]  # fmt: skip
    optimizer.build(held)
    optimizer.learning_rate.assign(0.5)
    optimizer.apply([tf.zeros(3)] * 4, held)
    found = [float(v.numpy()[0]) for v in held]
    assert found == pytest.approx([1 - 0.5 * 0.1, 1, 1, 1])


def test_a_trained_run_is_what_was_judged_best(run: Path, index: Index, stored: Stored) -> None:
    one = train.best(run)
    rows = [row for row in read_metrics(run) if row["kind"] == "valid"]
    assert len(rows) == 3
    found = Validation(index, "logmel")(one.net)
    best = max(rows, key=lambda row: row["pr_auc"])  # the first of equals
    assert found["pr_auc"] == pytest.approx(best["pr_auc"])
    assert found["loss"] == pytest.approx(best["loss"], rel=1e-5)
    assert (one.folder, one.config["recipe"]) == (run, NAME)


# ------------------------------------------------------------------ the run to start from


def learnt(net: Any) -> dict[str, np.ndarray]:
    return {name: np.array(array) for name, array in variables(net).items()}


def differing(net: Any, run: Path) -> set[str]:
    """The layers whose weights are not those of the run at its best."""
    theirs, mine = weights(load(Checkpoints(run).best())["learner"]), learnt(net)
    assert set(mine) == set(theirs)
    places = {id(v): name for v, name in zip(net.variables, mine, strict=True)}
    held = {layer.name: [places[id(v)] for v in layer.variables] for layer in net.layers}
    assert held["pooled"]
    return {layer for layer, names in held.items()
            if not all(np.array_equal(mine[name], theirs[name]) for name in names)}  # fmt: skip


def test_with_the_same_tags_all_weights_are_taken(
    handed: Callable[..., Work], run: Path, index: Index, capsys: pytest.CaptureFixture[str]
) -> None:
    config = train.configuration(index, SMALL, run)
    made = handed(config)["net"]()
    assert differing(made, run) == set()
    assert "those of the last layer among them" in capsys.readouterr().err
    path = Checkpoints(run).best()
    assert config["start"] == [str(path.resolve()), durable.hash_of(path)]


def test_with_other_tags_the_last_layer_is_fresh_and_the_rest_equal(
    handed: Callable[..., Work], run: Path, shards: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = load_index(shards / FEW)
    assert len(few.tags) == 2
    made = handed(train.configuration(few, SMALL, run))["net"]()
    assert made.get_layer("logits").get_weights()[0].shape == (tagging.KNOWN, 2)
    assert differing(made, run) == {"logits"}
    assert "its last layer has 4 answers: that of 2 is fresh" in capsys.readouterr().err
    keras.utils.set_random_seed(SMALL.settings.seed)
    fresh_one = train.net_of(train.configuration(few, SMALL))
    for mine, other in zip(*(n.get_layer("logits").get_weights() for n in (made, fresh_one)),
                           strict=True):  # fmt: skip
        assert np.array_equal(mine, other)


@pytest.mark.parametrize("tags", [["a", "b", "c", "d"], TAGS[::-1]])
def test_as_many_other_tags_are_other_tags(
    handed: Callable[..., Work], run: Path, index: Index, capsys: pytest.CaptureFixture[str],
    tags: list[str],
) -> None:  # fmt: skip
    """Weights that answer for one word are no begin for another one."""
    config = train.configuration(index, SMALL, run) | {"tags": tags}
    made = handed(config)["net"]()
    assert differing(made, run) == {"logits"}
    assert "its last layer answers for other tags: that of these is fresh" in (
        capsys.readouterr().err
    )


def test_a_start_keeps_what_its_weights_were_normalised_with(
    run: Path, shards: Path, index: Index
) -> None:
    other = replace(index, statistics={
        name: replace(held, mean=tuple(m + 1 for m in held.mean), deviation=held.deviation)
        for name, held in index.statistics.items()})  # fmt: skip
    alone, after = train.configuration(other, SMALL), train.configuration(other, SMALL, run)
    before = read_config(run)["config"]
    assert alone["mean"] == pytest.approx(before["mean"] + 1)
    assert (after["mean"], after["deviation"]) == (before["mean"], before["deviation"])


def test_a_start_of_another_net_or_shape_is_refused(run: Path, shards: Path, index: Index) -> None:
    for one, profile, said in (
        (index, replace(SMALL, net="musicnn"), "another net; expected musicnn; got musicnn-small"),
        (load_index(shards / WIDE), SMALL, r"another shape; expected \[40, 32\]; got \[40, 24\]"),
    ):
        with pytest.raises(Changed, match=f"{run}: a start of {said}. Name a run of the same net"):
            train.configuration(one, profile, run)


def test_a_start_without_weights_says_so(shards: Path, run: Path, index: Index, tmp_path: Path
) -> None:  # fmt: skip
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / "config.json").write_bytes((run / "config.json").read_bytes())
    with pytest.raises(RunError, match="no checkpoint was scored yet"):
        train.configuration(index, SMALL, bare)


def test_a_run_that_goes_on_does_not_begin_again(
    handed: Callable[..., Work], run: Path, index: Index, tmp_path: Path
) -> None:
    work = handed(train.configuration(index, SMALL, run))
    assert differing(work["net"](), run) == set()
    Checkpoints(work["run"].folder).save(1, {"learner": {}}, best=False)
    keras.utils.set_random_seed(0)
    assert differing(work["net"](), run) == {
        "pooled",
        "logits",
    }  # the engine gives it what the checkpoint holds


def test_a_start_that_has_changed_leaves_the_name_free(
    shards: Path, run: Path, index: Index, tmp_path: Path
) -> None:
    root = fresh(shards, tmp_path / "a")
    config = train.configuration(index, SMALL, run)
    config["start"] = [config["start"][0], "0" * 64]
    with pytest.raises(Changed, match="the weights to begin with have changed since"):
        train.train(root, config, "new")
    assert not list((root / "runs" / MODEL).iterdir())


def test_what_a_warm_start_learns_begins_where_the_other_ended(
    shards: Path, run: Path, index: Index, tmp_path: Path
) -> None:
    """A rate of next to nothing: it stays there."""
    still = replace(SMALL, settings=replace(SMALL.settings, rate=1e-9, epochs=1))
    root = fresh(shards, tmp_path / "a")
    made = train.train(root, train.configuration(index, still, run), "warm")
    assert made is not None
    mine, theirs = (learnt(train.best(folder).net) for folder in (made[0], run))
    for name in mine:
        np.testing.assert_allclose(mine[name], theirs[name], atol=1e-6)


# ------------------------------------------------------------------ what a run hears


def test_a_track_is_the_mean_of_what_is_answered_for_its_patches(
    run: Path, index: Index, shards: Path, stored: Stored
) -> None:
    """Heard as sound by the run; its patches out of the shards, by numpy."""
    heard, cut, tags = use.hearing(run)
    one = train.best(run).net
    assert tags == TAGS
    rows = map(json.loads, (shards / "manifest.jsonl").read_text().splitlines())
    path = {row["id"][:32].encode(): row["path"] for row in rows if "id" in row}
    names = ("source", "start")
    placed = narrow(index, ["test"], names)
    patches = stored["logmel"][part_of(index, "test")]
    whole = []
    for source in sorted(set(placed["source"])):
        mine = np.flatnonzero(placed["source"] == source)
        mine = mine[np.argsort(placed["start"][mine])]
        answer = tagged(heard, cut, shards.parent / "data" / path[source])
        each = tagging.answered(one, patches[mine])
        np.testing.assert_allclose(answer.each, each, atol=1e-4)
        np.testing.assert_allclose(answer.whole, np.mean(each, 0), atol=1e-4)
        whole.append(answer.whole)
    assert np.ptp(whole, axis=0).max() > 0.1  # it tells them apart


def test_what_a_net_knows_of_a_patch_is_what_its_words_are_made_of(index: Index, run: Path) -> None:
    one = train.best(run).net
    part = Part(index, "test", "logmel")
    seen = part.ask(use.looked(one))
    kernel, bias = one.get_layer("logits").get_weights()
    np.testing.assert_allclose(
        scipy.special.expit(seen @ kernel + bias), part.answers(one), atol=1e-6
    )
    assert seen.shape == (24, tagging.KNOWN)


# ------------------------------------------------------------------ what it is measured beside


@pytest.fixture
def measured(run: Path, shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """An evaluation of copies of the run, each with some of its configuration changed."""
    monkeypatch.setattr(report, "redrawn", lambda folder: "")
    root = fresh(shards, tmp_path / "a")

    def evaluated(on: str = "", **changes: Mapping[str, Any]) -> dict[str, Any]:
        folders = []
        for name, change in changes.items():
            folder = root / "runs" / MODEL / name
            (folder / "checkpoints").mkdir(parents=True)
            path = Checkpoints(run).best()
            (folder / "checkpoints" / path.name).write_bytes(path.read_bytes())
            facts = read_config(run)
            facts["config"] |= change
            durable.write_json(folder / "config.json", facts)
            folders.append(folder)
        report.evaluation(folders, root, on)
        (path,) = folders[0].glob("evaluation-*.json")
        found: dict[str, Any] = json.loads(path.read_text())
        return found

    return evaluated


def test_a_run_stands_beside_two_baselines(
    measured: Any, run: Path, index: Index, stored: Stored
) -> None:
    """One that takes hum for rain, so that it is not always right."""
    found = measured(a={"tags": [TAGS[k] for k in TURNED]})
    assert set(found["systems"]) == {"a", MFCC, OFTEN}
    assert (found["ours"], found["recipe"], found["tags"]) == ("a", NAME, TAGS)
    assert (found["tracks"], found["patches"], found["groups"]) == (6, 24, 3)
    rows = Part(index, "test", "logmel").rows
    likely = tagging.answered(train.best(run).net, stored["logmel"][part_of(index, "test")])
    precision, area = by_hand(rows, likely[:, TURNED])
    assert 0 < np.mean(area) < 1
    assert found["systems"]["a"]["pr_auc"]["mean"] == pytest.approx(np.mean(precision))
    assert found["systems"]["a"]["roc_auc"]["mean"] == pytest.approx(np.mean(area))
    often = found["systems"][OFTEN]
    assert often["roc_auc"]["mean"] == 0.5
    share = [row["tracks"] / 6 for row in often["tags"].values() if 0 < row["tracks"] < 6]
    assert often["pr_auc"]["mean"] == pytest.approx(np.mean(share))
    own = found["systems"]["a"]
    inside, last = (tagging.MELS + 1) * tagging.KNOWN, (tagging.KNOWN + 1) * len(TAGS)
    assert own["parameters"] == inside + last
    assert own["ms"] > 0
    assert found["systems"][MFCC]["parameters"] is None


def test_a_baseline_learns_from_all_but_what_it_is_measured_on(
    measured: Any, index: Index, stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Any] = []

    def linear(x: np.ndarray, tags: np.ndarray, groups: np.ndarray, test: np.ndarray) -> Any:
        given.append((x, tags, groups, test))
        return np.full((len(test), tags.shape[1]), 0.5)

    monkeypatch.setattr(report, "linear", linear)
    found = measured(a={})
    ((x, tags, groups, test),) = given
    mask = part_of(index, "test")
    assert np.array_equal(tags, stored["tags"][~mask])
    assert np.array_equal(groups, stored["group"][~mask])
    assert not set(groups) & set(stored["group"][mask])
    assert (len(x), len(test)) == ((~mask).sum(), mask.sum())
    assert not {row.tobytes() for row in x} & {row.tobytes() for row in test}
    assert found["systems"][MFCC]["roc_auc"]["mean"] == 0.5


def test_words_that_stand_elsewhere_are_found_by_their_names(measured: Any) -> None:
    """In another place than the recipe has them, and beside others that it lacks."""
    one = measured(a={})["systems"]["a"]["tags"]
    few = measured(b={}, on=FEW)
    assert set(few["systems"]) == {"b", MFCC, OFTEN}
    assert few["tags"] != TAGS[:2]
    told = few["systems"]["b"]["tags"]
    assert [told[word] for word in few["tags"]] == [one[word] for word in few["tags"]]


def test_a_run_without_these_words_is_learnt_from(measured: Any, index: Index, run: Path) -> None:
    """Its answer for a track is not its own, but a logistic regression's on what its net knows."""
    found = measured(a={}, b={"tags": ["hum", "rain", "sound", "flute"]})
    assert set(found["systems"]) == {"a", "b + LR", MFCC, OFTEN}
    assert found["systems"]["b + LR"]["roc_auc"]["mean"] > 0.8
    assert set(found["ahead"]) == {"b + LR", MFCC, OFTEN}


def test_what_hears_otherwise_or_has_no_tags_is_not_measured(measured: Any) -> None:
    said = f"a tagger of other features; expected those of {WIDE}; got those of {NAME}"
    with pytest.raises(Changed, match=said):
        measured(a={}, on=WIDE)
    with pytest.raises(DataError, match=f"{PLAIN} has no tags.*Name a recipe with tags"):
        measured(b={}, on=PLAIN)


@pytest.mark.parametrize("split", SPLITS)
def test_a_recipe_with_nothing_in_a_part_is_not_measured_on(
    measured: Any, index: Index, monkeypatch: pytest.MonkeyPatch, split: str
) -> None:
    less = replace(index, entries=tuple(one for one in index.entries if one.split != split))
    monkeypatch.setattr(report, "load_index", lambda path: less)
    with pytest.raises(DataError, match=f"nothing in {split}; expected an example; got 0"):
        measured(a={})


# ------------------------------------------------------------------ exports


def test_exports_of_words_that_the_recipe_lacks_are_compared_without_scores(
    run: Path, shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Published weights have words of their own."""
    given: list[Any] = []
    monkeypatch.setattr(use, "export", lambda *rest: given.append(rest))
    mine = tmp_path / "mine"
    shutil.copytree(run, mine)
    facts = read_config(run)
    for tags, known in ((TAGS, True), (["x", "y", "z", "w"], False)):
        facts["config"]["tags"] = tags
        durable.write_json(mine / "config.json", facts)
        use.exported(mine, shards)
        served, (calibration,), clips, folder = given.pop()
        assert (served.names, folder) == (tags, mine)
        assert (len(calibration), len(clips.truth)) == (87, 24)  # of train, of test
        assert clips.truth.any() == known


def test_shards_that_were_built_anew_are_no_ground_to_compare_exports_on(
    run: Path, shards: Path, tmp_path: Path
) -> None:
    mine = tmp_path / "mine"
    shutil.copytree(run, mine)
    facts = read_config(run)
    facts["data"][NAME] = "0" * 64
    durable.write_json(mine / "config.json", facts)
    with pytest.raises(Changed, match="built anew since the run was trained"):
        use.exported(mine, shards)
