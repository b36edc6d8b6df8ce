"""What a network has to beat: its features are librosa's, and it is really fitted."""

import warnings

import librosa
import numpy as np
import pytest

from training.classes import baselines as module
from training.classes.baselines import NAMES, baselines, statistics, thinned
from training.errors import RunError

FITTED = NAMES[1:]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TREES", 20)
    monkeypatch.setattr(module, "LEAST_ROUNDS", 5)
    monkeypatch.setattr(module, "ROUNDS", 5)


def windows(labels: np.ndarray, seed: int = 0, apart: float = 4.0) -> np.ndarray:
    """Log-mels (n, 20, 48): a spectrum of their class, as strong as `apart` says, in noise."""
    random = np.random.default_rng(seed)
    spectra = np.random.default_rng(99).normal(0, apart, (5, 1, 48))
    return (spectra[labels] - 40 + random.normal(0, 8, (len(labels), 20, 48))).astype(np.float32)


LABELS = np.arange(60) % 3


def test_statistics_are_those_of_librosas_mfcc() -> None:
    logmel = windows(LABELS)
    found = statistics(logmel)
    assert found.shape == (60, 7 * 40)
    for window, row in zip(logmel[::20], found[::20], strict=True):
        mfcc = librosa.feature.mfcc(S=window.T, n_mfcc=40)
        steps = mfcc[:, 1:] - mfcc[:, :-1]
        told = [mfcc.mean(1), mfcc.std(1), mfcc.min(1), mfcc.max(1), np.median(mfcc, 1)]
        expected = np.concatenate([*told, steps.mean(1), steps.std(1)])
        assert np.allclose(row, expected, atol=1e-3)


def test_statistics_of_any_number_of_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    logmel = windows(LABELS)
    whole = statistics(logmel)
    monkeypatch.setattr(module, "AT_ONCE", 7)
    assert np.array_equal(statistics(logmel), whole)
    assert statistics(logmel[:0]).shape == (0, 280)
    assert np.isfinite(statistics(logmel[:, :1])).all()
    assert statistics(logmel[:, :, :16]).shape == (60, 7 * 16)


def test_each_learns_what_can_be_learned_and_answers_with_probabilities() -> None:
    test = np.repeat(np.arange(3), 5)
    found = baselines((windows(LABELS), LABELS), windows(test, 1), 4, groups=np.arange(60) // 2)
    assert tuple(found) == NAMES
    for name, held in found.items():
        assert held.shape == (15, 4)
        assert np.allclose(held.sum(1), 1)
        assert (held[:, 3] == 0).all()  # never seen
        if name in FITTED:
            assert (held.argmax(1) == test).mean() > 0.9
    assert np.allclose(found["majority"], [1 / 3, 1 / 3, 1 / 3, 0])


def test_the_majority_answers_with_how_often_a_class_is() -> None:
    labels = np.array([0] * 30 + [2] * 10)
    found = baselines((windows(labels), labels), windows(labels[:2]), 3)
    assert np.allclose(found["majority"], [0.75, 0, 0.25])


@pytest.mark.parametrize("name", ["random forest", "gradient boosting", "SVM"])
def test_a_rare_class_is_not_given_up(name: str) -> None:
    """Two overlap; of the rarer one, as much is found as of the other, by weights alone."""
    random = np.random.default_rng(0)
    labels, test = np.array([0] * 400 + [1] * 40), np.repeat([0, 1], 200)
    x, look = (random.normal(1.5 * some[:, None], 1, (len(some), 2)) for some in (labels, test))
    held = baselines((x, labels), look, 2)[name].argmax(1) == test
    assert 0.6 < held[test == 1].mean() < held[test == 0].mean()


def test_the_seed_determines_all(monkeypatch: pytest.MonkeyPatch) -> None:
    given = (statistics(windows(LABELS)), LABELS)
    test = statistics(windows(LABELS[:6], 1))
    first, second = baselines(given, test, 3, 7), baselines(given, test, 3, 7)
    assert all(np.array_equal(first[name], second[name]) for name in NAMES)
    other = baselines(given, test, 3, 8)
    assert not np.array_equal(first["random forest"], other["random forest"])
    logmels = baselines((windows(LABELS), LABELS), windows(LABELS[:6], 1), 3, 7)
    assert all(np.array_equal(first[name], logmels[name]) for name in NAMES)


@pytest.mark.parametrize(
    "labels",
    [[0, 1], [0, 0, 1], [0, 1, 2], [0, 0, 0, 0, 0, 0, 2], [1] * 5 + [3] * 5],
    ids=str,
)
def test_too_little_of_a_class_breaks_nothing(labels: list[int]) -> None:
    held = np.array(labels)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = baselines((windows(held), held), windows(np.arange(3)), 5)
    for answers in found.values():
        assert answers.shape == (3, 5)
        assert np.allclose(answers.sum(1), 1)
        assert (answers[:, [i for i in range(5) if i not in labels]] == 0).all()


def test_of_one_class_or_one_group_alone() -> None:
    one = np.full(5, 2)
    for held in baselines((windows(one), one), windows(one[:2]), 3).values():
        assert held.tolist() == [[0, 0, 1]] * 2
    alike = baselines((windows(LABELS), LABELS), windows(LABELS[:3]), 3, groups=np.zeros(60))
    assert np.allclose(alike["SVM"].sum(1), 1)


def test_the_support_vectors_are_as_sure_as_left_out_groups_bear_out() -> None:
    """Of pure noise, answers are near to how often a class is; of what is plain, they are sure."""
    random = np.random.default_rng(0)
    noise = random.normal(size=(60, 280)).astype(np.float32)
    fresh = random.normal(size=(60, 280)).astype(np.float32)
    unsure = baselines((noise, LABELS), fresh, 3)["SVM"]
    plain = baselines((statistics(windows(LABELS)), LABELS), statistics(windows(LABELS, 1)), 3)
    assert unsure.max(1).mean() < 0.6
    assert plain["SVM"].max(1).mean() > 0.8


def test_many_windows_are_thinned_evenly() -> None:
    """900 of one class in 30 groups of which one is large, 100 of another."""
    labels = np.array([0] * 900 + [1] * 100)
    groups = np.concatenate([np.zeros(610), 1 + np.arange(290) // 10, 100 + np.arange(100) // 10])
    some = thinned(labels, groups, 0, most=100)
    assert len(some) == 100
    assert (np.diff(some) > 0).all()
    assert np.bincount(labels[some]).tolist() == [90, 10]
    found, counts = np.unique(groups[some], return_counts=True)
    assert len(found) == 40
    assert counts[:30].tolist() == [3] * 30
    assert counts[30:].tolist() == [1] * 10
    assert np.array_equal(thinned(labels, groups, 0, most=100), some)
    assert not np.array_equal(thinned(labels, groups, 1, most=100), some)
    assert np.array_equal(thinned(labels, groups, 0, most=1000), np.arange(1000))


def test_only_the_thinned_are_learned_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 30)
    seen = []
    monkeypatch.setattr(module, "_trees", lambda labels, seed: seen.append(len(labels)) or ())
    monkeypatch.setattr(module, "_svm", lambda x, labels, *_: seen.append(len(x)) or x)
    monkeypatch.setattr(module, "NAMES", ("majority", "SVM"))
    found = baselines((windows(LABELS), LABELS), windows(LABELS[:2]), 3)
    assert seen == [30, 30]
    assert np.allclose(found["majority"], 1 / 3)


def test_what_is_no_number_is_refused() -> None:
    held = windows(LABELS)
    held[3, 2, 1] = np.nan
    with pytest.raises(RunError, match="nothing to fit the baselines on"):
        baselines((held, LABELS), windows(LABELS), 3)
    with pytest.raises(RunError, match="nothing to fit the baselines on"):
        baselines((held[:0], LABELS[:0]), windows(LABELS), 3)
