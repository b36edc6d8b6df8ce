"""Windows of a recording put together, and sound as the net hears it.

Reads and writes nothing.
"""

from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

from pipeline.examples import feature  # noqa: E402
from pipeline.recipe import Feature  # noqa: E402
from training.diarizer.infer import windows  # noqa: E402
from training.diarizer.stitch import Stitched, decided, turns  # noqa: E402
from training.diarizer.validation import frame_errors  # noqa: E402

STEP, SECONDS = 20, 0.1  # frames, and of one
VOICES = np.eye(6)


def stitched(truth: np.ndarray, seed: int = 0, noise: float = 0.0, **asked: Any) -> np.ndarray:
    """(frames, people) bool through windows in which people stand in an order drawn for each."""
    random = np.random.default_rng(seed)
    one = Stitched(STEP, SECONDS, alike=0.5, **asked)
    for frames in windows([truth.astype(float)], STEP):
        order = random.permutation(truth.shape[1])
        voices = VOICES[order][:, :] + noise * random.standard_normal((len(order), 6))
        one.add(np.clip(frames[:, order], 0.02, 0.9), voices)
    return one.finish()


def talk(frames: int, people: int, seed: int) -> np.ndarray:
    """Turns of 1 to 3 s, some of them of two people."""
    random = np.random.default_rng(seed)
    truth = np.zeros((frames, people), bool)
    at = 0
    while at < frames:
        end = at + int(random.integers(10, 30))
        truth[at:end, random.integers(people)] = True
        if random.random() < 0.3:
            truth[at:end, random.integers(people)] = True
        at = end + int(random.integers(0, 5))
    return truth


def same(found: np.ndarray, truth: np.ndarray) -> bool:
    """But for names."""
    left = sorted(column.tobytes() for column in found.T if column.any())
    return left == sorted(column.tobytes() for column in truth.T if column.any())


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("frames", [5, 39, 40, 41, 60, 61, 397])
def test_people_keep_their_names_whatever_order_windows_have(frames: int, seed: int) -> None:
    truth = talk(frames, 3, seed)
    found = stitched(truth, seed, noise=0.05)
    assert len(found) == frames
    wrong, speech = frame_errors(truth, found)
    assert wrong <= max(3, 0.02 * speech)  # who says next to nothing is not known by the voice


def test_who_is_silent_for_many_windows_is_known_by_the_voice() -> None:
    truth = np.zeros((400, 2), bool)
    truth[:30, 0], truth[30:370, 1], truth[370:, 0] = True, True, True
    assert same(stitched(truth), truth)


def test_two_people_of_like_voices_are_two_in_one_window() -> None:
    one = Stitched(STEP, SECONDS, alike=0.5)
    said = np.zeros((2 * STEP, 2))
    said[:STEP, 0] = said[STEP:, 1] = 1
    one.add(said, np.ones((2, 6)))
    assert one.finish().any(0).sum() == 2


def test_there_are_no_more_than_were_told_of() -> None:
    truth = talk(397, 4, 1)
    assert stitched(truth).shape[1] == 4
    found = stitched(truth, most=2)
    assert found.shape[1] == 2
    assert found.any(1).sum() > 0.5 * truth.any(1).sum()


@pytest.mark.parametrize("most", [1, 2, 3, 4])
def test_what_is_said_is_not_lost_to_a_limit(most: int) -> None:
    """Somebody speaks all the time, but the net does not know who: three at a third each."""
    one = Stitched(STEP, SECONDS, alike=0.5, most=most)
    for _ in range(3):
        one.add(np.full((2 * STEP, 3), 1 / 3), np.eye(3, 6))
    found = one.finish()
    assert found.any(1).all()
    assert found.shape[1] <= most


def test_nobody_speaks() -> None:
    found = stitched(np.zeros((90, 3), bool))
    assert found.shape == (90, 0)
    assert turns(found, SECONDS, 9.0, 0.5) == []
    assert turns(np.zeros((0, 0), bool), SECONDS, 0.0) == []


def test_speech_of_a_doubtful_speaker_is_somebody_s() -> None:
    said = np.array([[0.45, 0.45, 0.02], [0.2, 0.2, 0.05], [0.9, 0.7, 0.0], [0.3, 0.6, 0.55]])
    assert decided(said).tolist() == [
        [True, False, False], [False] * 3, [True, True, False], [False, True, False]
    ]  # fmt: skip


def test_windows_hear_everything_and_halves_twice() -> None:
    for count in (1, 19, 20, 21, 40, 41, 59, 60, 61, 100, 397):
        x = np.arange(count)
        for blocks in (np.array_split(x, 7), [x]):
            found = list(windows(blocks, 20))
            starts = [int(window[0]) for window in found]
            assert starts == list(range(0, 20 * len(found), 20))
            assert np.array_equal(np.unique(np.concatenate(found)), x)
            assert all(len(window) == 40 for window in found[:-1])
            assert len(found[-1]) > 20 or len(found) == 1


def test_turns_are_smoothed_and_numbered_as_they_come() -> None:
    said = np.zeros((100, 2), bool)
    said[30:60, 0] = True
    said[40, 0] = False  # a gap and a blip of one frame
    said[10:25, 1] = said[80, 1] = True
    found = turns(said, SECONDS, 10.0, 0.5)
    assert [(round(t.start, 3), round(t.end, 3), t.speaker) for t in found] == [
        (1.0, 2.5, "speaker1"), (3.0, 6.0, "speaker2")
    ]  # fmt: skip
    assert turns(said, SECONDS, 5.55, 0.5)[-1].end == 5.55  # the recording ends amid a frame


def test_sound_is_heard_as_shards_have_it() -> None:
    torch = pytest.importorskip("torch")
    from training.diarizer.frontend import LogMel

    told = {"kind": "mel", "n_fft": 512, "hop": 160, "mels": 40, "win": 400, "log": "ln",
            "fmin": 20.0, "fmax": 7600.0, "eps": 1e-6}  # fmt: skip
    described = Feature(**told)
    random = np.random.default_rng(0)
    wave = np.float32(0.1 * random.standard_normal(16000) * np.linspace(0, 1, 16000) ** 4)

    class Recipe:
        class audio:  # noqa: N801
            rate = 16000

        class window:  # noqa: N801
            edges = "window"

    expected = feature(wave, described, Recipe)[:100]  # type: ignore[arg-type]
    heard = LogMel({**vars(described)}, 16000)(torch.from_numpy(wave)[None])[0].numpy()
    assert heard.shape == expected.shape
    assert np.abs(heard - expected).max() < 2e-3
