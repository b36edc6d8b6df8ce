"""The page to listen to: which mixtures, how loud, what stands on it."""

import types
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest
import soundfile

pytest.importorskip("torch")
pytest.importorskip("matplotlib")

from training.denoiser import listen as listening  # noqa: E402
from training.denoiser.listen import listen  # noqa: E402
from training.errors import RunError  # noqa: E402

RATE, SAMPLES = 8000, 4000
NOISES = ("white", "<b>&")


def index_of(kind: str) -> Any:
    recipe = {"audio": {"rate": RATE}, "mix": {"kind": kind}}
    return types.SimpleNamespace(name="one<two", recipe=recipe, noises=NOISES, folder="data")


class Mixtures:
    """Each of `levels` on each of seven windows; window 6 is the hardest for `cleaner`."""

    def __init__(self, levels: tuple[float, ...], loud: float = 0.3) -> None:
        random = np.random.default_rng(0)
        self.rows = []
        for window in range(7):
            clean = loud * np.sin(np.arange(SAMPLES) * (0.05 + 0.01 * window))
            for level in levels:
                noise = 0.1 * random.standard_normal(SAMPLES)
                self.rows.append(
                    {
                        "noisy": np.float32(clean + noise),
                        "clean": np.float32(clean),
                        "source": np.bytes_(f"recording{window}"),
                        "start": np.int64(window * SAMPLES),
                        "requested": np.float32(level),
                        "noise_kind": np.int32(window % 2),
                    }
                )

    def pairs(self, index: Any, split: str, batch: int = 32) -> Iterator[dict[str, np.ndarray]]:
        assert split == "test"
        for at in range(0, len(self.rows), batch):
            part = self.rows[at : at + batch]
            yield {name: np.stack([row[name] for row in part]) for name in part[0]}

    def cleaner(self, waves: np.ndarray, rate: int) -> np.ndarray:
        """Takes away less noise of each later window, and of the last adds some."""
        assert rate == RATE
        keep = {0: 0.1, 1: 0.2, 2: 0.3, 3: 0.4, 4: 0.5, 5: 0.6, 6: 1.5}
        out = []
        for wave in waves:
            row = next(row for row in self.rows if np.array_equal(row["noisy"], wave))
            window = int(row["start"]) // SAMPLES
            out.append(row["clean"] + keep[window] * (row["noisy"] - row["clean"]))
        return np.stack(out)


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> Mixtures:
    made = Mixtures((-5.0, 0.5))
    monkeypatch.setattr(listening, "pairs", made.pairs)
    return made


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pictures."""
    monkeypatch.setattr(listening, "spectrograms", lambda *held: held[-1].touch())


class Page(HTMLParser):
    """Sources of the players and pictures, and the text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.open: list[str] = []
        self.audio: list[str] = []
        self.images: list[str] = []
        self.text = ""
        self.feed(path.read_text(encoding="utf-8"))
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        held = dict(attrs)
        if tag not in ("meta", "img"):
            self.open.append(tag)
        if "src" in held:
            (self.images if tag == "img" else self.audio).append(unquote(held["src"] or ""))
        assert not {"href", "onclick"} & set(held)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_typical_and_worst_of_each_level(given: Mixtures, tmp_path: Path) -> None:
    page = listen(given.cleaner, index_of("snr"), tmp_path / "listen")
    names = {f"snr{level}dB-{which}" for level in ("-5", "0.5") for which in ("typical", "worst")}
    parts = ("noisy", "cleaned", "clean")
    expected = {f"{name}-{part}.wav" for name in names for part in parts}
    expected |= {f"{name}.png" for name in names} | {"index.html"}
    assert {path.name for path in page.parent.iterdir()} == expected
    for name in names:
        window = 6 if "worst" in name else 3  # its gain is the median
        level = -5.0 if "-5" in name else 0.5
        row = next(r for r in given.rows if (r["start"], r["requested"]) == (window * 4000, level))
        found = [soundfile.read(page.parent / f"{name}-{part}.wav")[0] for part in parts]
        wanted = [row["noisy"], given.cleaner(row["noisy"][None], RATE)[0], row["clean"]]
        for one, other in zip(found, wanted, strict=True):
            assert np.abs(one - other).max() < 1e-4
        assert (page.parent / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert soundfile.info(page.parent / "snr-5dB-worst-clean.wav").samplerate == RATE


@pytest.mark.usefixtures("quick")
def test_the_page(given: Mixtures, tmp_path: Path) -> None:
    page = listen(given.cleaner, index_of("snr"), tmp_path)
    held = Page(page)
    assert len(held.audio) == 12
    assert len(held.images) == 4
    assert set(held.audio + held.images) == {p.name for p in tmp_path.iterdir()} - {"index.html"}
    assert held.audio[:3] == [f"snr-5dB-typical-{p}.wav" for p in ("noisy", "cleaned", "clean")]
    assert "one<two: before, after, clean" in held.text
    assert "worst: white, SI-SDR" in held.text
    assert "gain -3.5 dB; recording6 from sample 24000" in held.text
    assert "typical (median gain): <b>&, SI-SDR" in held.text
    assert "http" not in page.read_text()
    assert "<script" not in page.read_text()


def test_the_same_again_to_the_byte(given: Mixtures, tmp_path: Path) -> None:
    held = []
    for name in ("a", "b"):
        listen(given.cleaner, index_of("level"), tmp_path / name)
        held.append({p.name: p.read_bytes() for p in (tmp_path / name).iterdir()})
    assert held[0] == held[1]
    assert "noise0.5-worst-clean.wav" in held[0]
    assert b"noise of standard deviation 0.5" in held[0]["index.html"]


@pytest.mark.usefixtures("quick")
def test_nothing_clips_and_the_three_compare(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Mixtures((0.0,), loud=1.2)
    monkeypatch.setattr(listening, "pairs", made.pairs)
    listen(made.cleaner, index_of("snr"), tmp_path)
    row = made.rows[3]
    wanted = [row["noisy"], made.cleaner(row["noisy"][None], RATE)[0], row["clean"]]
    factors = []
    for part, wave in zip(("noisy", "cleaned", "clean"), wanted, strict=True):
        found = soundfile.read(tmp_path / f"snr0dB-typical-{part}.wav")[0]
        assert np.abs(found).max() <= 0.951
        factors.append(float(found @ wave / (wave @ wave)))
    assert factors == pytest.approx([0.95 / np.abs(row["noisy"]).max()] * 3, rel=1e-3)


@pytest.mark.usefixtures("quick")
def test_a_few_of_each_level_are_cleaned_evenly(given: Mixtures, tmp_path: Path) -> None:
    seen: list[tuple[int, float]] = []

    def watched(waves: np.ndarray, rate: int) -> np.ndarray:
        for wave in waves:
            row = next(row for row in given.rows if np.array_equal(row["noisy"], wave))
            seen.append((int(row["start"]) // SAMPLES, float(row["requested"])))
        return given.cleaner(waves, rate)

    page = listen(watched, index_of("snr"), tmp_path, count=3)
    assert sorted(seen) == [(w, level) for w in (0, 3, 6) for level in (-5.0, 0.5)]
    assert "Picked from 6 mixtures" in Page(page).text
    listen(given.cleaner, index_of("snr"), tmp_path / "one", count=1)
    assert not list((tmp_path / "one").glob("*worst*"))


@pytest.mark.usefixtures("quick")
def test_silence_has_no_gain_and_is_not_picked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Mixtures((0.0,))
    made.rows[0]["clean"][:] = 0.0
    monkeypatch.setattr(listening, "pairs", made.pairs)
    text = Page(listen(made.cleaner, index_of("snr"), tmp_path)).text
    assert "recording6" in text
    assert "recording0" not in text


@pytest.mark.parametrize(
    ("system", "said"),
    [(lambda waves, rate: waves[:, 1:], r"changes the length; expected \(4, 4000\); got \(4, 3"),
     (lambda waves, rate: waves * np.nan, "recording0, .*: a system gives numbers that are none")],
)  # fmt: skip
def test_what_is_no_sound_is_refused(
    system: Any, said: str, given: Mixtures, tmp_path: Path
) -> None:
    with pytest.raises(RunError, match=said):
        listen(system, index_of("snr"), tmp_path)
    assert not list(tmp_path.iterdir())


def test_an_empty_split_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "pairs", lambda *_: iter(()))
    with pytest.raises(RunError, match="data: no test mixture to listen to"):
        listen(lambda waves, rate: waves, index_of("snr"), tmp_path)
