"""Diarizers of others: they tell two voices apart, say nothing of silence, change nothing of torch;
how voices are joined and become turns.

Reads the packages that are installed; writes nothing.
"""

import importlib.util
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from pipeline.demo.voices import make_voice, utterance  # noqa: E402
from pipeline.rng import stream  # noqa: E402
from training.diarizer import peers as peers  # noqa: E402
from training.diarizer.rttm import Turn  # noqa: E402
from training.diarizer.scores import errors, overlapped, speakers  # noqa: E402
from training.diarizer.systems import RATE, System  # noqa: E402

HERE = peers.peers()
NAMES = tuple(peers.PACKAGES)
HAVE = importlib.util.find_spec("email")  # any package


@pytest.fixture(params=NAMES)
def peer(request: pytest.FixtureRequest) -> System:
    if request.param not in HERE:
        pytest.skip(f"{request.param} is not installed")
    return HERE[request.param]


def talk() -> tuple[np.ndarray, list[Turn]]:
    """A deep voice and a high one, in turn."""
    voices = [make_voice(0, "deep", 0.05), make_voice(0, "high", 0.95)]
    parts, truth, at = [], [], 0.0
    for number in range(6):
        voice = voices[number % 2]
        wave, _ = utterance(voice, RATE, 6.0, stream(0, "turn", number))
        parts += [0.2 * wave / np.abs(wave).max(), np.zeros(RATE // 2)]
        truth.append(Turn(at, at + len(wave) / RATE, voice.name))
        at += len(wave) / RATE + 0.5
    return np.concatenate(parts).astype(np.float32), truth


def test_two_voices_are_told_apart(peer: System) -> None:
    wave, truth = talk()
    threads = torch.get_num_threads()
    found = peer(wave)
    assert len(speakers(found)) == 2
    assert overlapped(found) == 0
    assert all(0 <= turn.start < turn.end <= len(wave) / RATE + 0.1 for turn in found)
    scored = errors(truth, found)
    assert scored.confused < 0.1 * scored.speech
    assert peer(wave) == found
    assert torch.get_num_threads() == threads
    assert 1e6 < peer.parameters < 1e7


@pytest.mark.parametrize("samples", [0, 1, 100, 5 * RATE])
def test_where_nobody_speaks_nobody_is_found(peer: System, samples: int) -> None:
    assert peer(np.zeros(samples, np.float32)) == []
    noise = 0.01 * np.random.default_rng(0).standard_normal(samples).astype(np.float32)
    assert peer(noise) == []


def test_a_moment_and_a_loud_wave_are_heard(peer: System) -> None:
    wave, _ = talk()
    for some in (wave[RATE : 2 * RATE], 20 * wave[: 5 * RATE]):
        before = some.copy()
        assert len(speakers(peer(some))) <= 1
        np.testing.assert_array_equal(some, before)


def test_what_is_not_installed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(peers.absent()) + len(peers.peers()) == len(NAMES)
    monkeypatch.setattr(peers, "find_spec", lambda name: None)
    assert not peers.peers()
    lines = peers.absent()
    assert [line.split(" is left out")[0] for line in lines] == list(NAMES)
    assert "pip install --no-deps silero-vad Resemblyzer (or make peers)" in lines[0]
    monkeypatch.setattr(peers, "find_spec", lambda name: None if name == "hdbscan" else HAVE)
    assert list(peers.peers()) == ["Resemblyzer"]
    assert len(peers.absent()) == 1
    assert "--no-deps hdbscan (or" in peers.absent()[0]


def test_they_are_loaded_when_they_are_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    hear = peers._lazy(lambda: made.append(1) or (lambda wave: [Turn(0, len(wave), "x")]))
    assert not made
    assert hear(np.zeros(3)) == hear(np.zeros(3)) == [Turn(0, 3, "x")]
    assert made == [1]


def voices(*angles: float) -> np.ndarray:
    return np.stack([np.cos(angles), np.sin(angles)], 1)


def test_the_most_alike_are_joined_and_few_go_to_the_nearest() -> None:
    some = voices(*[1.5] * 3, *[0.0] * 4, *[1.5] * 2, 0.7)
    assert peers.joined(some, 0.1, 2).tolist() == [0] * 3 + [1] * 4 + [0] * 2 + [1]
    assert peers.joined(some, 0.1, 1).tolist() == [0] * 3 + [1] * 4 + [0] * 2 + [2]
    assert peers.joined(some, 1.0, 1).tolist() == [0] * 10
    assert peers.joined(voices(0.0, 1.5), 0.1, 5).tolist() == [0, 1]  # all are few
    assert peers.joined(voices(0.3), 0.1, 5).tolist() == [0]


def test_windows_cover_the_speech() -> None:
    assert peers._windows([(1.0, 1.4)], 1000).tolist() == [40]  # in the middle of it
    assert peers._windows([(0.0, 0.4)], 1000).tolist() == [0]
    assert peers._windows([(9.8, 10.0)], 1000).tolist() == [840]
    found = peers._windows([(1.0, 5.0)], 1000)
    assert (found[0], found[-1]) == (100, 340)
    assert np.diff(found).max() <= peers.STEP
    assert len(peers._windows([(0.0, 40_000.0)], 4_000_000)) <= peers.MOST + 1


def test_a_moment_belongs_to_the_nearest_window() -> None:
    starts, groups = np.array([0, 40, 80, 400]), np.array([0, 0, 1, 1])  # middles .8 1.2 1.6 4.8
    found = peers._turns([(0.0, 2.4), (4.0, 5.0)], starts, groups)
    assert found == [Turn(0.0, 1.4, "1"), Turn(1.4, 2.4, "2"), Turn(4.0, 5.0, "2")]


def test_a_module_is_hidden_for_a_while() -> None:
    name = "a_module_that_nobody_has"
    with peers._without(name):
        assert sys.modules[name] is None
    assert name not in sys.modules
    with peers._without("sys"):
        assert sys.modules["sys"] is sys
