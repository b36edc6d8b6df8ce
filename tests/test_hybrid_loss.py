"""What a hybrid learns from: the sound that its branches hear, against the pipeline; the loss,
against scipy.

Reads and writes nothing.
"""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

import keras  # noqa: E402

from tests import balanced, hybrids  # noqa: E402
from tests.hybrids import NUMBERS, RATE, SAMPLES, Stub  # noqa: E402
from training.hybrid import loss, net, profiles  # noqa: E402
from training.hybrid.loss import Objective  # noqa: E402
from training.hybrid.profiles import VARIANTS, Profile  # noqa: E402

PLAIN = replace(
    profiles.PROFILES["demo"], batch=8, smoothing=0.0, balance=0.0, alone=0.0, augment=None
)
CHANGES: dict[str, Any] = {**(profiles.PROFILES["demo"].augment or {}), "crop": 0.5, "mix": 0.5}
CHANGED = replace(PLAIN, augment=CHANGES)
SEED = tf.constant([3, 4], tf.int32)
BOTH = ("wave", "vector")
EVEN = [5, 5, 5]


@functools.cache
def recipe() -> dict[str, Any]:
    return hybrids.recipe()


def sounds(count: int) -> np.ndarray:
    """(count, SAMPLES): noise under a tone, no two alike."""
    random, t = np.random.default_rng(0), np.arange(SAMPLES) / RATE
    level = 0.3 * 10 ** -random.random((count, 1))
    tones = np.sin(2 * np.pi * t * random.uniform(100, 4000, (count, 1)))
    return ((tones + 0.2 * random.normal(size=(count, SAMPLES))) * level).astype(np.float32)


def batch(count: int = 6, classes: int = 3) -> dict[str, Any]:
    """Its vectors are of other sounds."""
    made = np.random.default_rng(1).normal(0, 2, (count, NUMBERS)).astype(np.float32)
    labels = np.arange(count) % classes
    return {"wave": tf.constant(sounds(count)), "vector": tf.constant(made),
            "label": tf.constant(labels, tf.int32)}  # fmt: skip


def three(given: Mapping[str, Any]) -> list[Any]:
    """Answers of a net with both branches; `vector` holds all of them."""
    return [given["vector"][:, 3 * k : 3 * k + 3] for k in range(3)]


def one(given: Mapping[str, Any]) -> Any:
    return tf.reshape(next(iter(given.values()))[:, :3], (-1, 3))


def asked(
    profile: Profile, names: Sequence[str] = BOTH, *, mixed: bool = False, seed: Any = SEED,
    held: Mapping[str, Any] | None = None,
) -> dict[str, np.ndarray]:  # fmt: skip
    """What a net of these branches is given in a step."""
    stub = Stub(names, three if len(names) > 1 else one)
    Objective(profile, recipe(), EVEN, mixed)(stub, dict(held or batch()), seed)
    assert stub.training
    (given,) = stub.seen
    return {name: np.asarray(x) for name, x in given.items()}


def losses(
    profile: Profile, counts: Sequence[int] = EVEN, names: Sequence[str] = BOTH, answer: Any = three
) -> np.ndarray:
    objective = Objective(profile, recipe(), counts, mixed=False)
    return np.asarray(objective(Stub(names, answer), batch(), SEED)[0])


def answers() -> list[np.ndarray]:
    """What `three` says of the batch."""
    return [np.asarray(x) for x in three(batch())]


# ---- what is heard -----------------------------------------------------------------------------


@pytest.mark.parametrize("mixed", [False, True])
def test_both_branches_hear_the_same_changed_sound(mixed: bool) -> None:
    given = asked(CHANGED, mixed=mixed)
    wave, vector = given["wave"], given["vector"]
    assert wave.shape == (6, SAMPLES // 2)
    wanted = hybrids.vectors(wave)
    apart = np.abs(vector - wanted) / hybrids.vectors(sounds(64)).std(0)
    assert apart.max() < 1e-3
    before = hybrids.vectors(sounds(6))
    assert (np.abs(wanted - before) / before.std(0)).max(1).min() > 0.3  # all have changed


def test_a_branch_alone_hears_what_it_would_hear_beside_the_other() -> None:
    both = asked(CHANGED)
    for name in BOTH:
        alone = asked(CHANGED, [name])
        assert list(alone) == [name]
        np.testing.assert_allclose(alone[name], both[name], rtol=1e-5, atol=1e-5)


def test_a_vector_needs_none_in_the_shards_where_sound_is_changed() -> None:
    held = {name: x for name, x in batch().items() if name != "vector"}
    assert np.array_equal(asked(CHANGED, held=held)["vector"], asked(CHANGED)["vector"])


def test_sound_is_changed_anew_by_each_seed() -> None:
    first, again, other = (asked(CHANGED, seed=s) for s in (SEED, SEED, SEED + 1))
    assert all(np.array_equal(first[name], again[name]) for name in BOTH)
    assert all(np.abs(first[name] - other[name]).max() > 0.1 for name in BOTH)


@pytest.mark.parametrize("mixed", [False, True])
def test_without_changes_all_is_as_stored_and_nothing_is_computed(
    mixed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("computed")

    monkeypatch.setattr(loss, "Vector", refuse)
    monkeypatch.setattr(loss, "changed", refuse)
    given = asked(PLAIN, mixed=mixed)
    assert all(np.array_equal(given[name], batch()[name]) for name in BOTH)
    alone = asked(PLAIN, ["vector"], held={n: batch()[n] for n in ("vector", "label")})
    assert np.array_equal(alone["vector"], batch()["vector"])


def test_no_gradient_is_taken_of_what_makes_the_vector() -> None:
    given, wave = batch(), tf.Variable(sounds(6))
    objective = Objective(CHANGED, recipe(), EVEN, mixed=False)
    with tf.GradientTape() as tape:
        held = {**given, "wave": wave.value()}
        found, _ = objective(Stub(["vector"], one), held, SEED)
    assert tape.gradient(found, wave) is None


# ---- mixed examples ----------------------------------------------------------------------------

TONES = 200.0, 300.0  # Hz, whole periods in 0.1 s


def pair(count: int) -> tuple[np.ndarray, np.ndarray]:
    """A tone of each class, as loud as the other, in turn; and both."""
    t = np.arange(SAMPLES) / RATE
    both = 0.1 * np.stack([np.sin(2 * np.pi * hertz * t) for hertz in TONES]).astype(np.float32)
    return both[np.arange(count) % 2], both


def parts_of(wave: np.ndarray, both: np.ndarray) -> np.ndarray:
    """Of each class, in what was heard: of two sounds as loud as their parts."""
    factors = np.linalg.lstsq(both.T.astype(float), wave.T.astype(float), rcond=None)[0].T
    assert np.abs(factors @ both - wave).max() < 1e-6
    return factors / factors.sum(1, keepdims=True)


def heard(mixed: bool) -> tuple[np.ndarray, np.ndarray, Objective, np.ndarray]:
    """The parts of 64 examples, their losses, what they were made by, what was answered."""
    wave, both = pair(64)
    profile = replace(PLAIN, augment={"mix": 1.0}, balance=1.0)
    objective = Objective(profile, recipe(), [48, 16], mixed)
    logits = np.random.default_rng(0).normal(0, 2, (64, 2)).astype(np.float32)
    stub = Stub(["wave"], lambda given: tf.constant(logits))
    labels = tf.constant(np.arange(64) % 2, tf.int32)
    given = {"wave": tf.constant(wave), "label": labels}
    found, more = objective(stub, given, SEED)
    parts = parts_of(np.asarray(stub.seen[0]["wave"]), both)
    right = logits.argmax(1) == parts.argmax(1)
    assert np.array_equal(np.asarray(more["accuracy"], bool), right)
    return parts, np.asarray(found), objective, logits


def test_mixed_sounds_have_labels_and_weights_mixed_alike() -> None:
    parts, found, objective, logits = heard(mixed=True)
    assert ((parts > 0.05) & (parts < 0.95)).all(1).sum() > 10
    assert objective.labels.weights[1] > 2 * objective.labels.weights[0]
    wanted = (parts @ objective.labels.weights) * balanced.entropy(parts, logits)
    np.testing.assert_allclose(found, wanted, rtol=2e-3)


def test_only_the_mixed_variant_mixes() -> None:
    parts, found, objective, logits = heard(mixed=False)
    own = np.eye(2)[np.arange(64) % 2]
    np.testing.assert_allclose(parts, own, atol=1e-6)
    wanted = (own @ objective.labels.weights) * balanced.entropy(own, logits)
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


def test_without_mixing_all_else_is_changed_as_with_it() -> None:
    """So that variants differ in nothing else."""
    off = replace(CHANGED, augment={**CHANGES, "mix": 0.0})
    one, other = asked(off, mixed=True), asked(CHANGED, mixed=False)
    assert all(np.array_equal(one[name], other[name]) for name in BOTH)
    assert not np.array_equal(asked(CHANGED, mixed=True)["wave"], other["wave"])


# ---- the loss ----------------------------------------------------------------------------------


@pytest.mark.parametrize("part", [0.0, 0.3, 0.9])
def test_each_branch_has_its_part_of_the_loss(part: float) -> None:
    wanted = np.eye(3)[batch()["label"]]
    whole, *own = (balanced.entropy(wanted, x) for x in answers())
    found = losses(replace(PLAIN, alone=part))
    np.testing.assert_allclose(found, (1 - part) * whole + part * np.mean(own, 0), rtol=1e-5)


def test_a_branch_that_is_alone_has_all_of_it() -> None:
    wanted = np.eye(3)[batch()["label"]]
    found = losses(replace(PLAIN, alone=0.3), names=["vector"], answer=one)
    np.testing.assert_allclose(found, balanced.entropy(wanted, answers()[0]), rtol=1e-5)


@pytest.mark.parametrize("part", [0.1, 0.5])
def test_smoothing_spreads_a_part_over_all_classes(part: float) -> None:
    wanted = np.eye(3)[batch()["label"]] * (1 - part) + part / 3
    found = losses(replace(PLAIN, smoothing=part, alone=0.5))
    whole, *own = (balanced.entropy(wanted, x) for x in answers())
    np.testing.assert_allclose(found, 0.5 * whole + 0.25 * sum(own), rtol=1e-5)


def test_accuracy_is_that_of_the_whole_net() -> None:
    given, objective = batch(24), Objective(PLAIN, recipe(), EVEN, mixed=False)
    _, more = objective(Stub(BOTH, three), given, SEED)
    assert list(more) == ["accuracy"]
    right = [np.argmax(x, -1) == given["label"].numpy() for x in three(given)]
    assert np.array_equal(more["accuracy"], right[0])
    assert not any(np.array_equal(right[0], other) for other in right[1:])


@pytest.mark.parametrize("counts", balanced.COUNTS)
@pytest.mark.parametrize("balance", balanced.BALANCES)
def test_classes_weigh_1_on_average_and_rare_ones_more(counts: list[int], balance: float) -> None:
    weights = Objective(
        replace(PLAIN, balance=balance), recipe(), counts, mixed=False
    ).labels.weights
    balanced.assert_weights(weights, counts, balance)


def test_the_weight_of_a_class_is_that_of_its_loss() -> None:
    plain, weighed = (losses(replace(PLAIN, balance=b, alone=0.3), [90, 9, 1]) for b in (0.0, 1.0))
    balanced.assert_rare_ones_count_more(plain, weighed)


@pytest.mark.parametrize("policy", ["float32", "mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("variant", ["raw", "features", ""])
def test_a_net_in_half_precision_has_a_whole_loss(
    policy: str, variant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in hybrids.shrunk().items():
        monkeypatch.setattr(net, name, value)
    branches, mixed = VARIANTS[variant]
    keras.mixed_precision.set_global_policy(policy)
    try:
        made = net.make_net("hybrid-small", branches, 3, [0.0] * NUMBERS, [1.0] * NUMBERS)
        profile = replace(CHANGED, alone=0.3, smoothing=0.1)
        found, _ = Objective(profile, recipe(), EVEN, mixed)(made, batch(), SEED)
    finally:
        keras.mixed_precision.set_global_policy("float32")
    assert found.dtype == tf.float32
    assert np.isfinite(found).all()
