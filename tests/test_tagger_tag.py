"""Tracks through a tagger: cut as the shards are, told as asked, the same by any number of threads.

Reads the shipped recipes; writes sounds, shards and taggrams into pytest's folders. The tagger here
knows three tones by their pitch; the tests of its front end and of shards need TensorFlow.
"""

import functools
import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import pytest
import soundfile

from pipeline import cookbook
from tests import recorded, tagging
from training import durable, folders
from training.errors import RunError
from training.tagger.tag import BATCH, Asked, Cut, tag_path, tagged

pytest.importorskip("matplotlib")

from tests.pictured import assert_png  # noqa: E402

TAGS = list(recorded.TONES)


def recipe(name: str) -> dict[str, Any]:
    return cookbook.load([name])[0].resolved()


CUT = Cut.of(recipe("musicnn"), "logmel")
RATE = CUT.rate
SECONDS = 47872 / RATE  # of a patch


def heard(patches: np.ndarray) -> np.ndarray:
    """0.9 for each tone that has a part of the sound, 0.1 for the others."""
    assert patches.dtype == np.float32
    assert patches.shape[1:] == (CUT.around,)
    assert len(patches) <= BATCH
    power = np.abs(np.fft.rfft(patches)) ** 2
    hertz = np.fft.rfftfreq(patches.shape[1], 1 / RATE)
    parts = [power[:, np.abs(hertz - tone) < 20].sum(1) for tone in recorded.TONES.values()]
    return np.where(np.stack(parts, 1) > 0.05 * power.sum(1)[:, None], 0.9, 0.1)


put = functools.partial(recorded.put, rate=RATE)


def told(
    source: Path, out: Path, by: Callable[[np.ndarray], np.ndarray] = heard, jobs: int = 1,
    **how: Any,
) -> tuple[int, str]:  # fmt: skip
    said = io.StringIO()
    code = tag_path(by, Asked(TAGS, CUT, **how), source, said, out, jobs)
    return code, said.getvalue()


def rows(source: Path, out: Path, **how: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in told(source, out, as_json=True, **how)[1].splitlines()]


# ---- what is told ------------------------------------------------------------------------------


def test_a_line_names_the_likeliest_tags_of_each_track(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = put(tmp_path / "a.wav", ("hum", 6 * SECONDS), ("hum whistle", 2.2 * SECONDS))
    code, said = told(path, tmp_path / "out")
    # 8 patches, of which 2 have the whistle, too: (6 x 10 + 2 x 90) / 8
    assert (code, said) == (0, f"{path}  24.5 s  hum 90 %, whistle 30 %, voice 10 %\n")
    err = capsys.readouterr().err
    assert "tagged 1 of 1 recording, 24.5 s of sound in " in err
    assert err.endswith(f"taggrams: {tmp_path / 'out'}\n")


def test_json_tells_the_same(tmp_path: Path) -> None:
    path = put(tmp_path / "a.wav", ("hum", 6 * SECONDS), ("hum whistle", 2.2 * SECONDS))
    (row,) = rows(path, tmp_path, top=2)
    assert row == {
        "path": str(path), "seconds": pytest.approx(8.2 * SECONDS, abs=1e-4),
        "top": [["hum", 0.9], ["whistle", 0.3]],
    }  # fmt: skip


def test_more_tags_than_there_are_is_all_of_them(tmp_path: Path) -> None:
    (row,) = rows(put(tmp_path / "a.wav", ("hum", 3)), tmp_path, top=99)
    assert [name for name, _ in row["top"]] == ["hum", "voice", "whistle"]  # equal ones as they are


def test_a_taggram_is_written_as_json_and_as_a_picture(tmp_path: Path) -> None:
    path, out = tmp_path / "in" / "a.wav", tmp_path / "out" / "deep"
    sounds = [("hum", SECONDS), ("voice", SECONDS), ("whistle", SECONDS)]
    put(path, *sounds, ("hum voice", 1.5 * SECONDS))
    assert told(path, out)[0] == 0
    assert sorted(found.name for found in out.iterdir()) == ["a.wav.json", "a.wav.png"]
    row = json.loads((out / "a.wav.json").read_text())
    assert row == {
        "path": str(path), "seconds": pytest.approx(4.5 * SECONDS, abs=1e-4),
        "step": pytest.approx(SECONDS), "tags": TAGS,
        "probabilities": [[0.9, 0.1, 0.1], [0.1, 0.9, 0.1], [0.1, 0.1, 0.9], [0.9, 0.9, 0.1]],
    }  # fmt: skip
    assert_png(out / "a.wav.png", 700)


def test_taggrams_of_a_folder_lie_as_its_files_do(tmp_path: Path) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    for name in ("b.wav", "b.flac", "one/b.wav", "one/two/c.wav"):
        put(source / name, ("hum", 3))
    assert told(source, out)[0] == 0
    found = sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file())
    names = ("b.flac", "b.wav", "one/b.wav", "one/two/c.wav")
    assert found == [f"{name}.{kind}" for name in names for kind in ("json", "png")]


def test_probabilities_of_a_taggram_are_those_that_a_track_is_told_by(tmp_path: Path) -> None:
    def random(patches: np.ndarray) -> np.ndarray:
        return np.random.default_rng(len(patches)).random((len(patches), 3)).astype(np.float32)

    path = put(tmp_path / "a.wav", ("hum", 11.3 * SECONDS))
    (row,) = rows(path, tmp_path, by=random)
    each = np.array(json.loads((tmp_path / "a.wav.json").read_text())["probabilities"])
    assert each.shape == (11, 3)
    mean = dict(zip(TAGS, each.mean(0), strict=True))
    assert dict(row["top"]) == pytest.approx(mean, abs=1e-5)
    assert [value for _, value in row["top"]] == sorted(mean.values(), reverse=True) or all(
        abs(a - b) < 1e-5 for (_, a), b in zip(row["top"], sorted(mean.values())[::-1], strict=True)
    )


# ---- names -------------------------------------------------------------------------------------


def test_a_name_stays_on_its_line(tmp_path: Path) -> None:
    path, out = tmp_path / "a\n\x1b[1m\udcff.wav", tmp_path / "out"
    put(path, ("hum", 1))
    said = told(tmp_path, out)[1]
    assert said.isascii()
    assert said.startswith(f"{tmp_path}/a\\n\\x1b[1m\\udcff.wav  1.0 s  hum 90 %")
    assert len(said.splitlines()) == 1
    assert rows(tmp_path, out)[0]["path"] == str(path)
    (held,) = out.glob("*.json")
    assert held.name == f"{path.name}.json"
    assert json.loads(held.read_text())["path"] == str(path)


def test_a_tag_stays_on_its_line_too(tmp_path: Path) -> None:
    out = io.StringIO()
    asked = Asked(["a\nb", "\x1b[1m", "$\\foo$"], CUT)
    assert tag_path(heard, asked, put(tmp_path / "a.wav", ("hum", 3)), out, tmp_path) == 0
    assert out.getvalue().endswith("  3.0 s  a\\nb 90 %, \\x1b[1m 10 %, $\\foo$ 10 %\n")


def test_what_is_wrong_with_such_a_name_stays_on_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "EVERY", 0.0)  # a line for each block
    (tmp_path / "a\n\x1b[1m\udcff.wav").touch()
    put(tmp_path / "b\n\x1b[1m.wav", ("hum", 1))
    assert told(tmp_path, tmp_path / "out")[0] == 1
    said = capsys.readouterr().err
    assert f"{tmp_path}/a\\n\\x1b[1m\\udcff.wav: an empty file" in said
    assert "file 2 of 2: b\\n\\x1b[1m.wav\n" in said


@pytest.mark.parametrize("name", ["A$AP $\\foo$.wav", "歌.wav", "%s {} #.wav", " .wav"])
@pytest.mark.filterwarnings("error")
def test_names_of_all_kinds_are_drawn(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(tmp_path / name, ("hum", 1))
    assert told(tmp_path / name, tmp_path / "out")[0] == 0
    assert (tmp_path / "out" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert "Warning" not in capsys.readouterr().err


@pytest.mark.parametrize("letter", ["x", "歌"])
def test_names_as_long_as_a_file_system_takes_are_cut(letter: str, tmp_path: Path) -> None:
    """With .json behind, and for a moment .tmp- before, they would be too long."""
    size = 250 // len(letter.encode())
    for end in "ab":
        put(tmp_path / "in" / f"{letter * size}{end}.wav", ("hum", 1))
    assert told(tmp_path / "in", tmp_path / "out")[0] == 0
    found = sorted((tmp_path / "out").glob("*.json"))
    assert len(found) == 2  # they begin alike
    assert all(path.name.startswith(letter * 50) for path in found)
    told_paths = {json.loads(path.read_text())["path"] for path in found}
    assert told_paths == {str(path) for path in (tmp_path / "in").iterdir()}


# ---- what is read ------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [8000, 22050, 48000])
def test_a_rate_is_no_matter(rate: int, tmp_path: Path) -> None:
    path = put(tmp_path / "a.wav", ("hum", 2 * SECONDS), ("whistle", 2.1 * SECONDS), rate=rate)
    answer = tagged(heard, CUT, path)
    assert answer.seconds == pytest.approx(4.1 * SECONDS, abs=1e-3)
    assert (answer.each > 0.5).tolist() == [[True, False, False]] * 2 + [[False, False, True]] * 2


def test_channels_are_averaged(tmp_path: Path) -> None:
    recorded.two_channels(tmp_path, RATE)
    assert [row["top"][0][0] for row in rows(tmp_path, tmp_path)] == ["hum", "whistle"]


@pytest.mark.skipif("MP3" not in soundfile.available_formats(), reason="libsndfile without MP3")
@pytest.mark.parametrize("name", ["a.mp3", "a.ogg", "a.flac"])
def test_compressed_sound(name: str, tmp_path: Path) -> None:
    (row,) = rows(put(tmp_path / name, ("voice", 6.5), rate=44100), tmp_path)
    assert row["seconds"] == pytest.approx(6.5, abs=0.08)
    assert row["top"][0] == ["voice", 0.9]


def test_a_folder_with_odd_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    recorded.odd_folder(source, RATE)
    code, said = told(source, out, jobs=2)
    recorded.assert_good_ones_told(source, said.splitlines())
    assert code == 1
    err = capsys.readouterr().err
    recorded.assert_odd_ones_told(err, "tagged")
    assert "; 1 other file passed over\n" in err
    found = sorted(path.relative_to(out).as_posix() for path in out.rglob("*.json"))
    assert found == ["a/c.flac.json", "b.wav.json"]
    again = rows(source, out)
    recorded.assert_rows_of_all(again)
    assert all(row["path"] in row["error"] for row in again if "error" in row)


def test_no_file_and_an_empty_folder_are_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded.assert_nothing_to_hear(tmp_path, lambda source: told(source, tmp_path / "out"))
    assert capsys.readouterr() == ("", "")
    assert not (tmp_path / "out").exists()


def test_where_nothing_is_heard_there_are_no_taggrams(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.wav").touch()
    assert told(tmp_path / "a.wav", tmp_path / "out") == (1, "")
    assert capsys.readouterr().err.endswith("no taggrams: nothing was heard\n")
    assert not (tmp_path / "out").exists()


def test_silence_is_answered_and_called_so(tmp_path: Path) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    put(source / "a.wav", ("none", 4))
    put(source / "b.wav", ("none", 4), ("hum", 4))
    first, second = told(source, out)[1].splitlines()
    assert first.startswith(f"{source}/a.wav  4.0 s  ")
    assert first.endswith(" %  (digital silence)")
    assert "(digital" not in second
    assert [row.get("note") for row in rows(source, out)] == ["digital silence", None]
    assert json.loads((out / "a.wav.json").read_text())["note"] == "digital silence"


def test_names_are_written_as_they_are(tmp_path: Path) -> None:
    path = put(tmp_path / "Spaß 歌.wav", ("hum", 3))
    for text in (
        told(path, tmp_path, as_json=True)[1],
        (tmp_path / "Spaß 歌.wav.json").read_text(),
    ):
        assert f'"path": "{path}"' in text


def test_a_taggram_of_another_track_is_replaced_with_a_word(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not of the same track again, by whichever path."""
    monkeypatch.chdir(tmp_path)
    first, second = (put(tmp_path / name / "a.wav", ("hum", 3)) for name in ("one", "two"))
    out, said = tmp_path / "out", "replaces that of"
    for path, other in ((first, ""), (Path("one/a.wav"), ""), (second, "one/a.wav"), (second, "")):
        assert told(path, out)[0] == 0
        err = capsys.readouterr().err
        assert (f"{out}/a.wav.json: {said} {other}\n" in err) == bool(other)
        assert (said in err) == bool(other)
    assert json.loads((out / "a.wav.json").read_text())["path"] == str(second)
    for text in ("no JSON", "[]", '{"path": "a\\u0000b"}', "{}"):
        (out / "a.wav.json").write_text(text)
        assert told(second, out)[0] == 0


def test_what_breaks_off_is_no_answer(tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    recorded.assert_breaks_off(path, BATCH, RATE, heard, lambda by, path: tagged(by, CUT, path))
    assert told(path, tmp_path / "out") == (1, "")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("where", ["file", "file/deep"])
def test_a_folder_that_cannot_be_made_is_one_line(where: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    out = tmp_path / where
    with pytest.raises(RunError) as said:
        told(put(tmp_path / "a.wav", ("hum", 3)), out)
    assert str(said.value).startswith(f"{out}: cannot be made: ")
    assert str(said.value).endswith(". Name OUT=")
    assert "\n" not in str(said.value)


def test_lines_tell_how_far_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path / "a.wav", ("hum", 9))
    told(tmp_path / "a.wav", tmp_path)
    assert "left" not in capsys.readouterr().err  # nothing for what is done at once
    monkeypatch.setattr(folders, "EVERY", 0.0)
    told(tmp_path / "a.wav", tmp_path)
    lines = [line for line in capsys.readouterr().err.splitlines() if "left" in line]
    assert lines[0].startswith("4.1 s of 9.0 s of sound  ")
    assert lines[-1].startswith("9.0 s of 9.0 s of sound  ")


# ---- several at once ---------------------------------------------------------------------------


def test_the_same_by_any_number_of_threads_in_the_order_of_files(tmp_path: Path) -> None:
    """Though the first ones take longest."""
    source = tmp_path / "in"
    for i in range(7):
        put(source / f"{i}.wav", (TAGS[i % 3], 3 + i / 2))
    (source / "4.wav").write_text("no sound")
    together, most, now, turn = [], 0, 0, threading.Lock()

    def slowly(patches: np.ndarray) -> np.ndarray:
        nonlocal most, now
        with turn:
            now += 1
            most = max(most, now)
        time.sleep(0.2 / (1 + len(together)))
        with turn:
            now -= 1
            together.append(len(patches))
        return heard(patches)

    found = {}
    for jobs in (1, 3):
        together.clear()
        most = 0
        out = tmp_path / f"{jobs}"
        code, said = told(source, out, by=slowly, jobs=jobs)
        assert code == 1
        assert most == jobs
        files = {path.relative_to(out): path.read_bytes() for path in out.rglob("*.json")}
        found[jobs] = said, files
    assert found[1] == found[3]
    names = [line.split(".wav")[0][-1] for line in found[1][0].splitlines()]
    assert names == list("012356")


def test_what_goes_wrong_in_a_thread_is_not_kept_from_anybody(tmp_path: Path) -> None:
    def broken(patches: np.ndarray) -> np.ndarray:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        told(put(tmp_path / "a.wav", ("hum", 3)), tmp_path, by=broken, jobs=3)


def test_memory_does_not_grow_with_the_length(tmp_path: Path) -> None:
    def heard_all(path: Path) -> Any:
        return tagged(lambda batch: np.ones((len(batch), 3)), CUT, path)

    found = recorded.peaks(tmp_path, heard_all)
    for minutes, (answer, _) in found.items():
        assert answer.each.shape == (60 * minutes * RATE // 47872, 3)
    assert found[10][1] < 1.05 * found[2][1] < 10e6  # ten minutes are 38 MB


# ---- patches -----------------------------------------------------------------------------------


def reference(sound: np.ndarray, told: dict[str, Any], field: str = "logmel") -> np.ndarray:
    """librosa's spectrum of the whole track in float64, cut into patches; a track that is too short
    for one is repeated until it is not."""
    f, samples = told["features"][field], told["window"]["samples"]
    frames, rate = samples // f["hop"], told["audio"]["rate"]
    count = (1 + len(sound) // f["hop"]) // frames
    if not count:
        sound, count = np.resize(sound, samples), 1
    power = librosa.feature.melspectrogram(
        y=sound.astype(np.float64), sr=rate, n_fft=f["n_fft"], hop_length=f["hop"],
        n_mels=f["mels"], center=True, pad_mode="constant",
    )  # fmt: skip
    whole: np.ndarray = np.log10(1 + 10000 * power).T
    return whole[: count * frames].reshape(count, frames, f["mels"])


def noise(samples: int, rate: int) -> np.ndarray:
    """Hiss that swells, so that no two places are alike; loud at both ends."""
    hiss = np.random.default_rng(samples).standard_normal(samples)
    return (0.2 * hiss * (1.1 + np.cos(7 * np.arange(samples) / rate))).astype(np.float32)


@functools.cache
def fronted(name: str) -> tuple[dict[str, Any], Cut, Any]:
    """A recipe as it is stored, how it cuts, and the front end of its tagger."""
    pytest.importorskip("tensorflow")
    from training.graph.frontend import LogMel

    told = tagging.recipe() if name == tagging.NAME else recipe(name)
    return told, Cut.of(told, "logmel"), LogMel(told, "logmel", around=True)


def assert_patches(name: str, samples: int, most: int = BATCH, block: int = 1 << 16) -> None:
    told, cut, front = fronted(name)
    sound = noise(samples, cut.rate)
    parts = [sound[at : at + block] for at in range(0, samples, block)]
    batches = list(cut.patches(parts, most))
    assert max(map(len, batches)) <= most
    assert all(batch.dtype == np.float32 for batch in batches)
    found = np.concatenate([front(batch).numpy() for batch in batches])
    expected = reference(sound, told)
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() < 1e-4


SMALL = tagging.SAMPLES
EDGES = [
    *(k * SMALL - tagging.HOP + d for k in (1, 2, 3, 9) for d in (-1, 0, 1)),
    *(k * SMALL + d for k in (1, 2, 8) for d in (-1, 0, 1)),
    *(k * SMALL + tagging.HOP + d for k in (1, 8) for d in (-1, 0, 1)),
]


@pytest.mark.parametrize("samples", EDGES)
def test_patches_are_those_of_librosa_over_the_whole_track(samples: int) -> None:
    assert_patches(tagging.NAME, samples)


@pytest.mark.parametrize("samples", [1, 2, 63, 64, 65, 1000, SMALL - tagging.HOP - 1])
def test_a_track_shorter_than_a_patch_is_repeated(samples: int) -> None:
    told, cut, _ = fronted(tagging.NAME)
    assert_patches(tagging.NAME, samples)
    (patch,) = np.concatenate(list(cut.patches([noise(samples, cut.rate)])))
    inside = patch[cut.half : cut.half + cut.samples]
    assert np.array_equal(inside, np.resize(noise(samples, cut.rate), cut.samples)[: len(inside)])


@pytest.mark.parametrize("most", [1, 2, 3, BATCH])
@pytest.mark.parametrize("block", [1, 7, 64, 2560, 10_000, 1 << 20])
def test_blocks_and_batches_leave_the_patches_as_they_are(most: int, block: int) -> None:
    if block == 1:
        assert_patches(tagging.NAME, 2 * SMALL + 9, most, block)
    else:
        for samples in (10 * SMALL, 9 * SMALL - tagging.HOP, 3 * SMALL + 1234, 5):
            assert_patches(tagging.NAME, samples, most, block)


@pytest.mark.parametrize("name", ["musicnn", "musicnn-2048"])
@pytest.mark.parametrize("off", [-1, 0, 1])
def test_patches_of_the_shipped_recipes(name: str, off: int) -> None:
    _, cut, _ = fronted(name)
    for samples in (off + 10_000, 2 * cut.samples - cut.hop + off, 10 * cut.samples + off):
        assert_patches(name, samples)


def test_the_shipped_recipe_is_cut_as_published() -> None:
    assert Cut(16000, "HQ", 47872, 256, 256) == CUT
    assert CUT.around == 187 * 256 + 256  # of the frames at both ends, half lies outside
    long = Cut.of(recipe("musicnn-2048"), "logmel")
    assert (long.samples // long.hop, long.around) == (94, 93 * 512 + 2048)


def test_no_sound_is_no_patch() -> None:
    empty: list[np.ndarray] = []
    assert list(CUT.patches(empty)) == []
    assert list(CUT.patches([np.zeros(0, np.float32)] * 3)) == []


def test_patches_come_while_the_sound_is_read() -> None:
    """Two at once: the first two as soon as the last frame of the second one is heard."""
    given = 0

    def blocks() -> Iterator[np.ndarray]:
        nonlocal given
        for _ in range(1000):
            given += 100
            yield np.zeros(100, np.float32)

    cut = Cut(8000, "HQ", 1000, 100, 100)
    batches = cut.patches(blocks(), 2)
    assert next(batches).shape == (2, 1100)
    assert given == 2000  # frames of the second end at 1900 + 100


# ---- beside shards -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tagging.build(tmp_path_factory.mktemp("tagging"))


def test_patches_of_a_track_are_those_of_the_shards(shards: Path) -> None:
    """All that a net is asked is like what it has learnt from."""
    _, cut, front = fronted(tagging.NAME)
    found = recorded.stored(shards, tagging.NAME, "logmel")
    assert len(found) == tagging.TRACKS
    for path, patches in found.items():
        got: list[np.ndarray] = []

        def keep(batch: np.ndarray, got: list[np.ndarray] = got) -> np.ndarray:
            got.extend(front(batch).numpy())
            return np.ones((len(batch), 1))

        tagged(keep, cut, shards.parent / "data" / path)
        assert sorted(patches) == [cut.samples * k for k in range(len(got))], path
        expected = np.stack([patches[start] for start in sorted(patches)])
        assert np.abs(np.stack(got) - expected).max() < 1e-3, path


@pytest.mark.parametrize(
    ("code", "said"),
    [("ENOSPC", "Free some space"), ("EFBIG", "Allow larger files"), ("EIO", "Mend the disk")],
)
def test_a_taggram_that_cannot_be_written_says_to_tag_again(
    code: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is no training, to be resumed; nothing half-written stays."""
    monkeypatch.setattr(durable, "_fault_counts", {})
    monkeypatch.setenv("MELMILL_FAULT", f"write:1:{code}")
    path = put(tmp_path / "a.wav", ("hum", 3))
    with pytest.raises(RunError, match=rf"{said}.*, then give the command again$"):
        told(path, tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())
