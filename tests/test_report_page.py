"""`make report`: what a page says is what shards, lists and recordings hold, read by other readers.

Reads and writes in pytest's folders. Does: builds tiny recipes of a corpus with hostile names, and
compares pages with index.json, rejected.csv, the shards read by h5py alone, and the source files.
"""

import base64
import csv
import html.parser
import io
import json
import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import librosa
import numpy as np
import pytest
import soundfile as sf
import soxr

from pipeline.disk import clean as cleaning
from pipeline.dsp import mix
from pipeline.errors import MelmillError
from pipeline.formats import png
from pipeline.reports import charts, figures, gallery, sounds, words
from pipeline.reports.shelves import Shelf
from pipeline.reports.tally import Mixtures, Pick, Tally, shown
from tests import corpus, here

EVIL = "<script>alert('x')</script>\u202e&amp;"  # a class
NAMES = [
    '"><img src=x onerror=alert(1)>.wav',
    "new\nline.wav",
    "half\udcff.wav",
    "n" * 240 + ".wav",
]

PLAN = here.changed(corpus.MIX, name="tiny-plan", mix__materialise=False, output__fields=["clean"])
LEVEL = here.changed(
    corpus.MIX,
    name="tiny-level",
    mix__kind="level",
    mix__values=[0.01, 0.5],
    mix__noises=["white"],
)
RECORDS = here.changed(corpus.CLASSES, name="tiny-records", output__formats=["tfrecord"])
TALK = """\
name = "tiny-talk"
about = "conversations of two"
[select]
roles = ["clean"]
[audio]
rate = 8000
[window]
samples = 48000
hop = 48000
edges = "recording"
[conversation]
train = 3
speakers = [2]
pause = 0.3
offset = 0.1
spread = 0.3
interject = 0.2
[mix]
kind = "snr"
values = [5.0, 15.0]
noises = ["white"]
speech_level = "rms"
track = 2.0
tracks = 2
[features.logmel]
kind = "mel"
n_fft = 256
hop = 80
mels = 24
log = "ln"
[labels]
kind = "activity"
speakers = 2
frame = 80
[output]
fields = ["logmel", "activity", "voices"]
formats = ["hdf5"]
shard_mb = 1
"""
HEARD = here.changed(
    TALK, name="tiny-heard", output__fields=["wave", "logmel", "activity", "voices"]
)
ALL = (corpus.MIX, corpus.CLASSES, PLAN, LEVEL, RECORDS, TALK, HEARD)
VOID = {"meta", "img", "br", "link", "image", "line", "rect", "circle"}


@dataclass
class Page(html.parser.HTMLParser):
    """A page as a browser would take it apart."""

    text: str
    tags: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    open: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.text)
        self.close()

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.said.append(data)

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attrs for name, attrs in self.tags if name == tag]

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.said).split())

    def sounds(self) -> list[tuple[np.ndarray, int]]:
        return [sf.read(io.BytesIO(unpacked(a["src"])), dtype="float32") for a in self.all("audio")]


def unpacked(uri: str) -> bytes:
    kind, _, content = uri.partition(";base64,")
    assert kind in ("data:audio/flac", "data:image/png")
    return base64.b64decode(content, validate=True)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """data/ and a/, built and reported on."""
    root = tmp_path_factory.mktemp("report")
    data = corpus.small_corpus(root / "data")
    with open(data / "melmill.csv", "a", newline="", errors="surrogateescape") as file:
        for i, name in enumerate(NAMES):
            sf.write(os.fsencode(data / name), corpus.noise(50 + i, 1.5, "rain"), corpus.RATE,
                     "PCM_16", format="WAV")  # fmt: skip
            csv.writer(file).writerow([name, "noise", EVIL, f"evil{i}"])
    (data / "<script>1<b>.wav").write_text("<!DOCTYPE html><script>alert(3)</script>")
    for i in range(5):
        (data / f"text{i}.wav").write_text("no sound")
    (data / "empty.wav").touch()
    (data / "zcopy.wav").write_bytes((data / "voice0-0.wav").read_bytes())
    here.features(data, root / "a", corpus.recipes(root / "recipes", *ALL), "--max-rejected", 100)
    report(root / "a")
    return root


def report(artifacts: Path, recipe: str = "") -> str:
    return here.here("report", "--artifacts", artifacts, "--recipe", recipe)


def page(root: Path, name: str) -> Page:
    return Page((root / "a" / "reports" / f"{name}.html").read_text("utf-8"))


def index(root: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((root / "a" / name / "index.json").read_bytes())
    return found


def stored(root: Path, name: str, what: str) -> np.ndarray:
    """A field of all examples, read by h5py alone."""
    paths = [f["path"] for f in index(root, name)["shards"] if f["format"] == "hdf5"]
    return np.concatenate([h5py.File(root / "a" / name / p)[what][:] for p in paths])


def rows(root: Path, name: str, section: str) -> Iterator[list[str]]:
    """The cells of a table, row by row."""
    text = (root / "a" / "reports" / f"{name}.html").read_text("utf-8")
    part = text.split(f'<section id="{section}">')[1].split("</section>")[0]
    for row in re.findall(r"<tr>(.*?)</tr>", part, re.S):
        yield [Page(cell).words for cell in re.findall(r"<td[^>]*>(.*?)</td>", row, re.S)]


@pytest.mark.parametrize("recipe", [t.split('"')[1] for t in ALL])
def test_a_page_is_whole_and_reaches_for_nothing(world: Path, recipe: str) -> None:
    found = page(world, recipe)
    assert found.open == []
    assert not {"script", "link", "iframe", "img", "base", "form"} & {tag for tag, _ in found.tags}
    for _, attrs in found.tags:
        assert not [name for name in attrs if name.startswith("on")]
        for name in {"src", "href"} & set(attrs):
            assert attrs[name].startswith(("data:audio/flac;", "data:image/png;", "#"))
    assert "url(" not in found.text
    assert "@import" not in found.text
    assert found.text.replace("\n", "").isprintable()
    ids = {attrs["id"] for _, attrs in found.tags if "id" in attrs}
    assert {a["href"][1:] for a in found.all("a")} == ids
    assert len(found.text.encode()) < 5e6


def test_names_are_words_and_never_markup(world: Path) -> None:
    said = page(world, "tiny-classes").words
    assert "<script>alert('x')</script>\\u202e&amp;" in said
    assert "<script>1<b>.wav" in said
    assert {"rain", "hum"} <= set(said.split())
    for name in ("\u202e", "\udcff", NAMES[3]):
        assert name not in said
    assert words.safe("a\nb\x00\u2028'\"<>&") == "a\\nb\\x00\\u2028&#x27;&quot;&lt;&gt;&amp;"
    assert len(words.short("x" * 5000)) < 130


def test_files_are_those_of_the_lists(world: Path) -> None:
    told = list(csv.DictReader((world / "a" / "rejected.csv").open(newline="")))
    want = Counter(row["reason"] for row in told)
    assert want["not_audio"] == 6
    found = {cells[0]: cells for cells in rows(world, "tiny-mix", "files") if cells}
    assert {code: int(cells[1]) for code, cells in found.items()} == want
    assert "and 3 more" in found["not_audio"][3]
    paths = len(list((world / "data").iterdir())) - 1  # the list itself
    used = paths - len(told)
    text = page(world, "tiny-mix").words
    assert f"{paths} files found = {used} used + {len(told)} rejected" in text
    assert "8 feed this recipe (clean)" in text


def test_balance_is_that_of_the_shards(world: Path) -> None:
    told = index(world, "tiny-classes")
    found = {c[0]: c for c in rows(world, "tiny-classes", "balance") if c}
    assert {s: int(c[1]) for s, c in found.items()} == told["counts"]["examples"]
    assert {s: int(c[3]) for s, c in found.items()} == told["counts"]["files"]
    splits = dict(csv.reader((world / "a" / "splits.csv").open(newline="")))
    mine = Counter(
        split for group, split in splits.items() if group.startswith(("rain", "hum", "evil"))
    )
    assert {s: int(c[4]) for s, c in found.items() if int(c[4])} == mine
    voices = Counter(splits[group] for group in splits if group.startswith("voice"))
    assert sum(voices.values()) == 4
    found = {c[0]: c for c in rows(world, "tiny-mix", "balance") if c}
    assert {s: int(c[4]) for s, c in found.items() if int(c[4])} == voices
    assert sum(int(c[3]) for c in found.values()) == 8
    labels = np.bincount(stored(world, "tiny-classes", "label"))
    for name in ("tiny-classes", "tiny-records"):
        said = page(world, name).said
        for label, count in zip(told["classes"], labels, strict=True):
            at = max(
                i
                for i, word in enumerate(said)
                if word == words.short(Page(words.safe(label)).words)
            )
            assert sum(int(word) for word in said[at + 1 : at + 4]) == count


def test_a_pair_is_one_that_is_stored(world: Path) -> None:
    """Clean and noisy of each SNR, to the last of 16 bits; the title is the label."""
    found = page(world, "tiny-mix")
    clean, noisy = (stored(world, "tiny-mix", what) for what in ("clean", "noisy"))
    achieved = stored(world, "tiny-mix", "achieved")
    titles = re.findall(r"<b>([\d.]+) dB SNR</b>", found.text)
    heard = found.sounds()
    assert len(heard) == 2 * len(titles) >= 4
    assert set(titles) == {"0", "10"}
    for title, (one, rate), (other, _) in zip(titles, heard[::2], heard[1::2], strict=True):
        assert rate == 8000
        (row,) = np.flatnonzero(
            abs(clean - one).max(axis=1) + abs(noisy - other).max(axis=1) < 1e-4
        )
        assert achieved[row] == pytest.approx(float(title), abs=0.01)


def test_sound_that_no_shard_holds_is_that_of_the_recording(world: Path) -> None:
    found = page(world, "tiny-classes")
    said = re.findall(r"<code>([a-z0-9]+\.wav)</code> from (\d+):([\d.]+)</p>", found.text)
    heard = found.sounds()
    captions = re.findall(r"<figcaption>.*?</figcaption>", found.text, re.S)
    assert len(captions) == len(heard) >= 3
    checked = 0
    for caption, (sound, rate) in zip(captions, heard, strict=True):
        named = re.search(r"<code>([a-z0-9]+\.wav)</code> from (\d+):([\d.]+)", caption)
        if named is None:
            continue
        whole, native = sf.read(world / "data" / named[1], dtype="float32")
        want = soxr.resample(whole, native, rate, quality="HQ")
        begin = 60 * int(named[2]) + float(named[3])
        near = [round((begin + d) * rate) for d in (-0.05, 0.05)]  # a clock shows tenths
        starts = [k * 4096 for k in range(9) if near[0] <= k * 4096 <= near[1]]
        pieces = [want[start : start + 4096] for start in starts]
        assert min(abs(sound[: len(p)] - p).max() for p in pieces) < 2e-4
        checked += 1
    assert checked == len(said) >= 2


def test_a_conversation_is_made_again_as_it_was(world: Path) -> None:
    """Its twin that stores the sound has the same conversations."""
    waves = stored(world, "tiny-heard", "wave")
    heard = page(world, "tiny-talk").sounds()
    assert len(heard) >= 2
    for sound, _ in heard:
        assert abs(waves - sound).max(axis=1).min() < 1e-4
    assert len(page(world, "tiny-heard").sounds()) == len(heard)


def test_what_the_loader_would_mix_has_the_level_it_is_labelled_with(world: Path) -> None:
    found = page(world, "tiny-plan")
    titles = re.findall(r"<b>([\d.]+) dB SNR</b>", found.text)
    heard = found.sounds()
    assert len(titles) >= 2
    assert len(heard) == 2 * len(titles)
    for title, (clean, rate), (noisy, _) in zip(titles, heard[::2], heard[1::2], strict=True):
        got = mix.measured_snr(clean, noisy, speech_level="p56", rate=rate)
        assert got == pytest.approx(float(title), abs=0.2)  # 16 bits


@pytest.mark.parametrize(
    ("name", "what"), [("tiny-talk", "achieved"), ("tiny-talk", "activity"), ("tiny-plan", "scale")]
)
def test_sound_with_other_labels_is_not_passed_off(world: Path, name: str, what: str) -> None:
    shelf = Shelf.opened(world / "a" / name)
    row = shelf.row(shelf.files()[0], 0)
    heard = sounds.Sounds(shelf, sounds.corpus_of(world / "a"))
    assert heard.of(row, 0)
    with pytest.raises(sounds.Unheard):
        heard.of({**row, what: row[what] * 2}, 0)


@pytest.mark.parametrize("name", ["tiny-mix", "tiny-plan", "tiny-level"])
def test_the_largest_deviation_is_that_of_all_mixtures(world: Path, name: str) -> None:
    asked, got, gain = (
        stored(world, name, f).astype(float) for f in ("requested", "achieved", "gain")
    )
    mixed = stored(world, name, "noise_kind") >= 0
    off = abs(got - asked) if name != "tiny-level" else abs(20 * np.log10(got / (asked * gain)))
    number, power = words.thousandths(float(off[mixed].max()))
    text = page(world, name).words
    assert f"{mixed.sum()} mixtures; the largest deviation is {number:.2g}{power} dB." in text


def test_examples_of_a_page_are_of_unlike_kinds_and_recordings() -> None:
    found = Tally()
    for main in (0, 1, 2):
        for other in (0, 1):
            found.picks[main, other] = [
                Pick(False, draw, "s", 10 * main + 5 * other + draw, {}, b"%d" % draw)
                for draw in (0, 1, 2)
            ]
    chosen = shown(found, [0, 1, 2])
    assert [main for main, _ in chosen] == [0, 0, 1, 1, 2, 2]  # six are wanted
    assert {pick.row % 10 // 5 for main, pick in chosen if main == 1} == {0, 1}
    assert {pick.source for _, pick in chosen[:3]} == {b"0", b"1", b"2"}
    assert [main for main, _ in shown(found, [1])] == [1, 1, 1]
    assert shown(Tally(), [0]) == []


def test_a_wrong_mixture_would_show() -> None:
    found = Mixtures()
    for _ in range(20):
        asked = np.repeat([0.0, 10.0], 50)
        found.add(asked, asked + 1e-6, asked)
    found.add(np.array([10.0]), np.array([9.5]), np.array([10.0]))
    assert (found.count, found.worst) == (2001, 0.5)
    assert [dots.shape for dots in found.dots.values()] == [(3, 64), (3, 64)]
    assert words.thousandths(9.5367e-7) == (9.5, " × 10⁻⁷")
    assert words.thousandths(0.5) == (0.5, "")


def test_a_picture_is_read_by_others_as_it_was_written(world: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    pixels = np.random.default_rng(1).integers(0, 64, (37, 91)).astype(np.uint8)
    read = np.asarray(image.open(io.BytesIO(png.encode(pixels, figures.PALETTE))).convert("RGB"))
    assert (read == np.array(figures.PALETTE, np.uint8)[pixels]).all()
    for wrong in (pixels.astype(int), pixels[0], pixels[:0], pixels + np.uint8(1)):
        with pytest.raises(ValueError, match="colour|pixels"):
            png.encode(wrong, figures.PALETTE)
    ramp = np.add.outer(np.arange(20.0), 10 * np.arange(9.0))  # time, frequency
    made = figures.picture(figures.Spectrum(ramp, 1.0, (), ""), 0.0, 99.0)
    drawn = np.asarray(image.open(io.BytesIO(made)).convert("RGB"))
    dark, light = (list(figures.PALETTE[i]) for i in (0, -1))
    assert (drawn[-1, 0].tolist(), drawn[0, -1].tolist()) == (
        dark,
        light,
    )  # below left, above right
    assert drawn[0, 0].sum() > drawn[-1, -1].sum()  # higher is lighter here, by more than later is
    for attrs in page(world, "tiny-classes").all("image"):
        whole = image.open(io.BytesIO(unpacked(attrs["href"])))
        whole.load()
        assert whole.size == (17, 32)  # frames, bands


def test_a_tone_stands_at_its_frequency_and_time() -> None:
    rate, t = 16000, np.arange(32000) / 16000
    tone = np.where(t < 1, np.sin(2 * np.pi * 1000 * t), np.sin(2 * np.pi * 4000 * t))
    found = figures.of_sound(tone.astype(np.float32), rate)
    marks = {text: place for place, text in found.up}
    rows = found.values.shape[1]
    for frame, text in ((len(found.values) // 4, "1 kHz"), (3 * len(found.values) // 4, "4 kHz")):
        loud = int(found.values[frame].argmax())
        assert abs((loud + 0.5) / rows - marks[text]) < 1.5 / rows
    centres = librosa.mel_frequencies(40 + 2, fmin=0, fmax=8000)[1:-1]
    for place, text in figures.up(0, 8000, "slaney", 40):
        hertz = float(text.split()[0]) * (1000 if "kHz" in text else 1)
        if place < 1:  # the last is held at the edge
            assert np.interp(hertz, centres, (np.arange(40) + 0.5) / 40) == pytest.approx(
                place, abs=0.015
            )


def test_lanes_are_who_speaks() -> None:
    table = (np.random.default_rng(2).random((200, 3)) < 0.5).astype(np.uint8)
    table[:, 1] = 0
    found = Page(figures.timeline(table))
    drawn = np.zeros_like(table)
    for attrs in found.all("rect"):
        a, w = (float(attrs[n].rstrip("%")) * 2 for n in ("x", "width"))
        drawn[round(a) : round(a + w), int(attrs["class"][1])] = 1
    assert (drawn == table).all()
    assert found.said == ["A", "C"]


def test_bars_and_columns_are_as_long_as_their_numbers() -> None:
    found = Page(charts.bars([("a", {"train": 30, "test": 10}), ("b", {"valid": 20})], "class"))
    wide = [(a["class"], a["style"]) for a in found.all("i")]
    assert wide == [("train", "width:75.00%"), ("test", "width:25.00%"), ("valid", "width:50.00%")]
    counts = {"train": np.array([4, 0, 2]), "test": np.array([4, 1, 0])}
    columns = Page(charts.histogram(counts, [], "", "")).all("rect")
    assert [float(c["height"]) for c in columns] == [75.0, 37.5, 75.0, 18.8]
    assert [float(c["y"]) for c in columns] == [75.0, 112.5, 0.0, 131.2]
    for top in (1e-6, 0.7, 1, 9, 1234.5):
        ticks = charts.nice(top)
        assert ticks[0] == 0
        assert 0.5 * top < ticks[-1] <= top * 1.0001
        assert len(ticks) <= 5


def test_durations_are_those_of_the_files(world: Path) -> None:
    whole = [sf.info(p).duration for p in (world / "data").glob("voice*")]
    text = page(world, "tiny-mix").words
    span = f"From {words.length(min(whole))} to {words.length(max(whole))}"
    assert f"{span}, half of them under {words.length(float(np.median(whole)))}" in text


def test_damage_is_named_and_not_read(world: Path, tmp_path: Path, capsys: Any) -> None:
    artifacts = here.copy(world / "a", tmp_path / "a")
    table = index(world, "tiny-mix")
    victim = next(f for f in table["shards"] if f["split"] == "train")
    damage(artifacts / "tiny-mix" / victim["path"])
    noise = index(world, "tiny-plan")["noise"]
    for file in noise:
        damage(artifacts / "tiny-plan" / file["path"])
    with pytest.raises(SystemExit) as stop:
        report(artifacts, corpus.recipes(tmp_path / "r", corpus.MIX, PLAN))
    assert stop.value.code == 1
    (tmp_path / "data").mkdir()
    found = page(tmp_path, "tiny-mix")
    assert f"{victim['path']}: damaged shard" in found.words
    cells = {c[0]: c for c in rows(tmp_path, "tiny-mix", "balance") if c}
    assert int(cells["train"][1]) == table["counts"]["examples"]["train"] - victim["examples"]
    silent = page(tmp_path, "tiny-plan")
    assert silent.sounds() == []
    assert "cannot be heard: damaged" in silent.words
    assert any(f["path"] in silent.words for f in noise)
    os.truncate(artifacts / "tiny-mix" / "index.json", 100)
    with pytest.raises(MelmillError, match="damaged"):
        report(artifacts, corpus.recipes(tmp_path / "r", corpus.MIX))


def damage(path: Path) -> None:
    """One bit, in the middle, size and times kept."""
    status, data = path.stat(), bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_a_damaged_pack_is_not_heard(world: Path, tmp_path: Path) -> None:
    artifacts = here.copy(world / "a", tmp_path / "a")
    for path in (artifacts / "pcm").glob("*.pcm"):
        data = bytearray(path.read_bytes())
        data[8 : len(data) // 2] = bytes(len(data) // 2 - 8)  # after the mark, before the table
        path.write_bytes(data)
    with pytest.raises(SystemExit):
        report(artifacts, corpus.recipes(tmp_path / "r", corpus.CLASSES))
    assert "cannot be heard: damaged" in page(tmp_path, "tiny-classes").words


def test_pages_are_written_once_and_nothing_else_is(world: Path, tmp_path: Path) -> None:
    artifacts = here.copy(world / "a", tmp_path / "a")
    before = here.stamps(artifacts)
    said = report(artifacts)
    assert here.stamps(artifacts) == before
    assert len(said.splitlines()) == len(ALL)
    assert all(line.startswith(f"report: {artifacts}/reports/tiny-") for line in said.splitlines())
    (artifacts / "reports" / "tiny-mix.html").unlink()
    report(artifacts, corpus.recipes(tmp_path / "r", corpus.MIX))
    assert {n for n in here.written(before, here.stamps(artifacts))} == {"reports/tiny-mix.html"}


def test_shards_that_are_older_than_the_lists_say_so(world: Path, tmp_path: Path) -> None:
    assert "Older than the data" not in page(world, "tiny-talk").words
    artifacts = here.copy(world / "a", tmp_path / "a")
    lists = artifacts / "splits.csv"
    lists.write_bytes(re.sub(rb'("voice.",)"[a-z]+"', rb'\1"test"', lists.read_bytes()))
    report(artifacts, corpus.recipes(tmp_path / "r", TALK))  # no fault: nothing is damaged
    found = page(tmp_path, "tiny-talk")
    assert "Older than the data" in found.words
    assert "cannot be heard: the conversation is not in the plan any more" in found.words
    assert found.sounds() == []


def test_speeds_are_noted_when_something_was_done(world: Path, tmp_path: Path) -> None:
    noted = json.loads((world / "a" / ".cache" / "speeds.json").read_bytes())["stages"]
    assert set(noted) == {"scan", "decode", *(f"shards/{t.split(chr(34))[1]}" for t in ALL)}
    decoded = json.loads((world / "a" / "pcm" / "index.json").read_bytes())["recordings"].values()
    assert noted["decode"]["seconds"] == pytest.approx(sum(r[2] / r[3] for r in decoded), rel=0.2)
    found = {c[0]: c for c in rows(world, "tiny-mix", "speed") if c}
    shards = index(world, "tiny-mix")
    made = len(shards["shards"]) + len(shards["noise"])
    assert found["tiny-mix"][4] == f"{made} shards"
    one = noted["shards/tiny-mix"]
    assert found["tiny-mix"][1] == f"{words.brief(one['seconds'] / one['elapsed'])} x"
    path = world / "a" / ".cache" / "speeds.json"
    before = path.stat()
    here.features(world / "data", world / "a", str(world / "recipes" / "tiny-mix.toml"),
                  "--max-rejected", 100)  # fmt: skip
    assert path.stat() == before
    artifacts = here.copy(world / "a", tmp_path / "a")
    (artifacts / ".cache" / "speeds.json").write_bytes(b"{")
    report(artifacts, corpus.recipes(tmp_path / "r", corpus.MIX))
    assert "Nothing is noted" in page(tmp_path, "tiny-mix").words


def test_sound_is_cut_so_that_the_page_stays_small(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = page(world, "tiny-talk")
    assert "cut to the first" not in whole.words
    artifacts = here.copy(world / "a", tmp_path / "a")
    monkeypatch.setattr(gallery, "SOUND", 30_000 * len(whole.sounds()))
    report(artifacts, corpus.recipes(tmp_path / "r", TALK))
    found = page(tmp_path, "tiny-talk")
    assert "cut to the first 1.88 s of each" in found.words
    assert [len(sound) for sound, _ in found.sounds()] == [15000] * len(whole.sounds())
    for attrs in found.all("audio"):
        assert len(unpacked(attrs["src"])) < 31_000
    heard = [a for a in found.all("rect") if a["class"] == "heard"]
    assert {a["width"] for a in heard} == {"31.25%"}


def test_what_is_too_loud_is_turned_down_and_it_is_said() -> None:
    content, down = gallery.flac(np.float32([0, 2.0, -1.0]), 8000)
    assert down == pytest.approx(6.02, abs=0.01)
    assert sf.read(io.BytesIO(content))[0] == pytest.approx([0, 1, -0.5], abs=1e-4)
    assert gallery.flac(np.float32([0.5]), 8000)[1] == 0


def test_what_is_not_there_is_an_error_that_says_what_to_do(world: Path, tmp_path: Path) -> None:
    with pytest.raises(MelmillError, match="nothing to report on.*make features"):
        report(tmp_path / "none")
    with pytest.raises(MelmillError, match="no shards of this recipe.*make features RECIPE=hybrid"):
        report(world / "a", "hybrid")


def test_clean_takes_our_pages_and_leaves_others(world: Path, tmp_path: Path) -> None:
    for name, ours in (("a", True), ("b", False)):
        folder = tmp_path / name / "reports"
        folder.mkdir(parents=True)
        (folder / "tiny-mix.html").write_bytes((world / "a/reports/tiny-mix.html").read_bytes())
        if not ours:
            (folder / "mine.html").write_text("<html>my thesis</html>")
        assert cleaning.clean(tmp_path / name) == ([] if ours else ["reports"])
        assert folder.exists() is not ours
