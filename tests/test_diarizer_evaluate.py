"""What a diarizer is measured on and by: the truth of stored activity, windows put together, sound
and frames alike, other rates, sizes beside each other.

Reads small shards and the RTTM files that they were made of. Writes only in pytest's folders.
"""

import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tests import diarizing, here  # noqa: E402
from tests.diarizing import HEARD, MANY, ODD, RATE, REAL, SECONDS, TALKS, TINY, TURNS  # noqa: E402
from training import durable  # noqa: E402
from training.data.index import DataError, Index, load_index  # noqa: E402
from training.diarizer import evaluate, report, sizes  # noqa: E402
from training.diarizer.baselines import NAMES  # noqa: E402
from training.diarizer.evaluate import Recording, found_in, measured, recordings  # noqa: E402
from training.diarizer.infer import Listener  # noqa: E402
from training.diarizer.rttm import Turn  # noqa: E402
from training.diarizer.scores import errors  # noqa: E402
from training.diarizer.systems import System  # noqa: E402
from training.diarizer.train import COST, Trained, make_net  # noqa: E402
from training.errors import Changed  # noqa: E402


@pytest.fixture
def real(diarizer_shards: Path) -> Index:
    return load_index(diarizer_shards / REAL)


@pytest.fixture
def heard(diarizer_shards: Path) -> Index:
    return load_index(diarizer_shards / HEARD)


def listener(index: Index, seed: int = 0) -> Listener:
    """Of a net that learnt nothing, but hears as this recipe does."""
    torch.manual_seed(seed)
    audio, feature = dict(index.recipe["audio"]), index.recipe["features"]["logmel"]
    facts = {"config": {"heard": {"audio": audio, "feature": feature}}}
    net = make_net(TINY, 20).eval()
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, 0, 0.3)
    return Listener(Trained(Path("a"), net, TINY, facts))


def test_few_voices_are_said(heard: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    known: set[int] = set()
    for shard in heard.shards("test", "hdf5"):
        with h5py.File(heard.folder / shard.path) as file:
            known |= set(file["voices"][:].ravel().tolist()) - {0}
    assert known
    monkeypatch.setattr(evaluate, "FEW", len(known) + 1)
    told = evaluate.few_voices(heard)
    assert told.startswith(f"{heard.name}: the test has {len(known)} voices alone")
    monkeypatch.setattr(evaluate, "FEW", len(known))
    assert evaluate.few_voices(heard) == ""


def windows(turns: Any) -> list[list[tuple[float, float]]]:
    """Spans of each window of a recording by its RTTM, from the window's begin."""
    found = []
    for begin in np.arange(0, ODD, SECONDS):
        end = min(begin + SECONDS, ODD)
        found.append(sorted(
            (max(a, begin) - begin, min(b, end) - begin)
            for _, a, b in turns if max(a, begin) < min(b, end)
        ))  # fmt: skip
    return found


def spans(one: Recording) -> list[tuple[float, float]]:
    return sorted((turn.start, turn.end) for turn in one.truth)


# ---- recordings and their truth ----------------------------------------------------------------


def test_without_names_every_window_is_a_recording_true_to_10_ms(real: Index) -> None:
    """One window holds too many, and is not there."""
    found = list(recordings(real))
    assert [len(one.parts) for one in found] == [1] * 5
    many, few = windows(MANY), windows(TURNS)
    wanted = {str(w): w for w in (many[0], many[2], *few)}
    assert len(wanted) == 5
    for one in found:
        held = spans(one)
        near = [w for w in wanted.values() if np.shape(w) == np.shape(held)
                and np.abs(np.array(w) - held).max() <= 0.0051]  # fmt: skip
        assert len(near) == 1
        del wanted[str(near[0])]
    assert sorted(one.seconds for one in found) == pytest.approx([3.273, 3.273, 8, 8, 8])
    names = [one.name for one in found]
    assert len(set(names)) == 5
    assert {name.partition("-")[2] for name in names} == {"", "64000", "128000"}


def test_what_is_said_is_what_columns_hold(heard: Index) -> None:
    """Each frame of each conversation; columns are in the order in which they begin."""
    seen = 0
    for one in recordings(heard):
        row = one.parts[0]
        with h5py.File(heard.path(row.blocks.shard)) as file:
            activity, voices = file["activity"][row.at], file["voices"][row.at]
            assert file["source"][row.at].decode().startswith(one.name)
        assert {turn.speaker for turn in one.truth} == set("1234"[: np.count_nonzero(voices)])
        for column, name in zip(activity.T, "1234", strict=True):
            mine = [turn for turn in one.truth if turn.speaker == name]
            told = np.zeros(len(column), bool)
            for turn in mine:
                told[round(turn.start * 100) : round(turn.end * 100)] = True
                seen += 1
            assert np.array_equal(told, column > 0)
        assert one.seconds == SECONDS
        assert one.truth == tuple(sorted(one.truth))
    assert seen > 8


class Held:
    """Stands in for shards: windows that are told here."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, index: Index, *rows: Any) -> None:
        self.rows = rows
        monkeypatch.setattr(evaluate, "rows", lambda index, split, **_: list(range(len(rows))))
        monkeypatch.setattr(evaluate, "_fields", lambda row, *names: self.one(*rows[row]))
        monkeypatch.setattr(evaluate, "_recording", self.recording)
        self.found = [(name, parts) for name, parts in recordings(index)]

    def one(self, source: str, start: float, valid: float, *more: Any) -> dict[str, Any]:
        return {
            "source": np.array([source.encode()]), "start": np.int64(start * RATE),
            "valid": np.int64(valid * RATE),
        }  # fmt: skip

    def recording(self, name: str, part: Any, rate: int) -> Any:
        assert rate == RATE
        return name, [row for row, _ in part]


def test_windows_that_follow_each_other_are_one_recording(
    monkeypatch: pytest.MonkeyPatch, heard: Index, real: Index
) -> None:
    """Where voices have names; a gap begins another, and so does another recording."""
    given = [("a", 0, 8), ("a", 8, 8), ("a", 16, 3), ("b", 0, 8), ("b", 16, 8), ("b", 24, 8),
             ("c", 0, 8)]  # fmt: skip
    found = Held(monkeypatch, heard, *given).found
    assert found == [("a", [0, 1, 2]), ("b", [3]), ("b", [4, 5]), ("c", [6])]
    found = Held(monkeypatch, real, *given).found
    assert [rows for _, rows in found] == [[k] for k in range(7)]


def test_turns_over_the_border_of_windows_are_whole(
    monkeypatch: pytest.MonkeyPatch, heard: Index
) -> None:
    """From a second window on, whose first sample is not 0."""
    activity = np.zeros((800, 4), np.uint8)
    activity[700:, 0] = activity[:50, 1] = 1
    later = np.zeros((800, 4), np.uint8)
    later[:30, 2] = later[250:, 0] = later[270:, 1] = 1  # the recording ends amid frame 262
    rows = [
        {"start": np.int64(k * 64000), "valid": np.int64(valid), "activity": held,
         "voices": np.array(who)}
        for k, held, who, valid in (
            (2, activity, [10, 11, 0, 0], 64000), (3, later, [12, 13, 10, 0], 21_000))
    ]  # fmt: skip
    row = next(iter(recordings(heard))).parts[0]
    one = evaluate._recording("x", [(row, held) for held in rows], RATE)
    assert one.name == "x-128000"
    assert one.seconds == pytest.approx(8 + 2.625)
    assert one.truth == (
        Turn(0.0, 0.5, "1"), Turn(7.0, 8.0, "2"), Turn(8.0, 8.3, "2"), Turn(10.5, 10.625, "3")
    )  # fmt: skip
    whole = [Turn(0, 0.5, "y"), Turn(7.0, 8.3, "x"), Turn(10.5, 10.625, "z")]
    assert errors(one.truth, whole).rate == 0  # a border is no change of speaker


# ---- measuring ---------------------------------------------------------------------------------


def test_frames_and_sound_are_answered_alike(heard: Index, real: Index) -> None:
    for index in (heard, real):
        for one in recordings(index):
            for seed in range(3):
                ours = listener(index, seed)
                a, b = (found_in(one, ours, sound) for sound in (True, False))
                assert a
                assert errors(a, b).rate < 0.02, one.name


def test_who_knows_the_truth_is_never_wrong(heard: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    truths = {one.wave(16000).tobytes(): list(one.truth) for one in recordings(heard)}
    perfect = System(lambda wave: truths[wave.tobytes()])
    deaf = System(lambda wave: [])
    rows = measured({"ours": listener(heard)}, {"perfect": perfect, "deaf": deaf}, heard)
    assert {row.system for row in rows} == {"ours", "perfect", "deaf", *NAMES}
    assert len(rows) == 6 * 4
    assert all(row.exact.rate == row.jaccard == 0 for row in rows if row.system == "perfect")
    assert all(row.exact.rate == row.jaccard == 1 for row in rows if row.system == "deaf")
    assert {row.seconds for row in rows} == {float(SECONDS)}  # whatever the rate of the sound
    timed = [row for row in rows if row.system not in NAMES]
    assert all(0 <= row.computing < 60 for row in timed)


def test_without_sound_the_others_are_not_asked(diarizer_shards: Path) -> None:
    index = load_index(diarizer_shards / TALKS)
    assert not evaluate.has_sound(index)
    rows = measured({"ours": listener(index)}, {"other": System(lambda wave: [])}, index)
    assert {row.system for row in rows} == {"ours", *NAMES}


def test_a_system_hears_the_rate_that_it_was_promised(heard: Index) -> None:
    """Others 16 kHz, ours its own, whatever is stored."""
    seen: dict[str, set[int]] = {"other": set(), "ours": set()}

    def other(wave: np.ndarray) -> list[Turn]:
        seen["other"].add(len(wave))
        return []

    ours = listener(heard)
    ours.rate = 4000
    ours.account = lambda sound, most=0: seen["ours"].update(map(len, sound)) or Empty()  # type: ignore[assignment, func-returns-value, return-value]
    measured({"ours": ours}, {"other": System(other)}, heard)
    assert seen == {"other": {SECONDS * 16000}, "ours": {SECONDS * 4000}}
    (one, *_) = recordings(heard)
    assert one.wave(RATE).dtype == np.float32
    assert len(one.wave(RATE)) == SECONDS * RATE


class Empty:
    turns: tuple[Turn, ...] = ()


def test_frames_of_another_kind_are_refused(diarizer_shards: Path) -> None:
    index = load_index(diarizer_shards / TALKS)
    ours = listener(index)
    ours.heard = {**ours.heard, "feature": {**ours.heard["feature"], "hop": 100}}
    with pytest.raises(Changed, match="frames of another kind; expected .*'hop': 100.*; got "):
        measured({"ours": ours}, {}, index)


def test_an_empty_split_has_nothing_to_measure_with(heard: Index) -> None:
    none = replace(heard, entries=())
    with pytest.raises(DataError, match="nothing to measure with|no 'test' shards"):
        measured({"ours": listener(heard)}, {}, none)
    none = replace(heard, entries=tuple(replace(s, split="train") for s in heard.entries))
    with pytest.raises(DataError, match="nothing to measure with"):
        measured({"ours": listener(heard)}, {}, none)


# ---- the recipe with sound beside --------------------------------------------------------------


def test_test_conversations_are_heard_where_their_sound_stands(
    diarizer_shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    talks = load_index(diarizer_shards / TALKS)
    assert report.with_sound(talks, diarizer_shards).name == HEARD
    alone = here.fresh(diarizer_shards, tmp_path / "alone")
    (alone / HEARD).unlink()
    index = load_index(alone / TALKS)
    assert report.with_sound(index, alone) is index
    index = load_index(diarizer_shards / REAL)
    assert report.with_sound(index, diarizer_shards) is index
    assert not capsys.readouterr().err


def test_other_conversations_are_not_the_test_split_with_sound(
    diarizer_shards: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    talks = load_index(diarizer_shards / TALKS)
    real = report.load_index

    def fewer(path: Path) -> Index:
        index = real(path)
        return replace(index, entries=index.entries[:1]) if path.name == HEARD else index

    monkeypatch.setattr(report, "load_index", fewer)
    assert report.with_sound(talks, diarizer_shards) is talks
    assert f"{HEARD}: not what {TALKS} is tested with; measured without sound" in (
        capsys.readouterr().err
    )


# ---- sizes -------------------------------------------------------------------------------------


def told(**ders: float | None) -> Any:
    return {"recipe": "x", "systems": {
        name: {"der": {"mean": der}, "parameters": 1e6 * (k + 1), "rtf": 0.01 / (k + 1)}
        for k, (name, der) in enumerate(ders.items())
    }}  # fmt: skip


@pytest.fixture
def runs(tmp_path: Path) -> list[Any]:
    """`big`, whose epochs take 30 s, and `small`, which has only one."""
    found = []
    for name, seconds, shorter in (("big", (10.0, 40.0, 70.0), 10), ("small", (5.0,), 20)):
        folder = tmp_path / name
        folder.mkdir()
        rows = [{"kind": "valid", "step": k, "seconds": s} for k, s in enumerate(seconds)]
        (folder / "metrics.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
        config = {"shorter": shorter, "heard": {"feature": {"hop": 80}, "audio": {"rate": RATE}}}
        profile = replace(TINY, shorter=shorter)
        found.append(Trained(folder, make_net(profile, 20), profile, {"config": config}))
    durable.write_json(tmp_path / "big" / COST, {"peak": 2.5e9, "start": 1.25})
    return found


def cells(text: str, name: str) -> list[str]:
    line = next(line for line in text.splitlines() if line.startswith(f"{name} "))
    return line.split()[1:]


def test_sizes_beside_the_first(runs: list[Any]) -> None:
    text = sizes.sizes(runs, [told(big=0.2, small=0.4)])
    assert text.startswith("x: what each of the others keeps of big\n")
    assert cells(text, "big") == ["16x1", "100", "ms", "1M", "20.0", "100.0", "30.0", "1.0x,",
                                  "1.0x", "2.50", "1.2", "0.0100"]  # fmt: skip
    assert cells(text, "small") == ["16x1", "200", "ms", "2M", "40.0", "75.0", "-", "-,", "2.0x",
                                    "-", "-", "0.0050"]  # fmt: skip
    assert len(sizes.sizes(runs, [told(big=0.2, small=0.4)] * 2).split("keeps of big")) == 3


@pytest.mark.parametrize(
    ("big", "small", "left"), [(None, None, ["-", "-"]), (1.0, 0.5, ["50.0", "-"]),
                               (1.2, 1.1, ["110.0", "-"])]
)  # fmt: skip
def test_where_nobody_speaks_or_all_is_wrong_nothing_is_kept(
    runs: list[Any], big: float | None, small: float | None, left: list[str]
) -> None:
    text = sizes.sizes(runs, [told(big=big, small=small)])
    assert cells(text, "small")[4:6] == left


def test_recordings_of_these_tests_are_not_all_alike(diarizer_shards: Path) -> None:
    """Or all of the above would hold for one."""
    waves = [one.wave(RATE) for one in recordings(load_index(diarizer_shards / HEARD))]
    assert all(not np.array_equal(a, b) for a, b in itertools.combinations(waves, 2))
    assert diarizing.STEPS == 3
