"""A page to listen to: what stands where, what is played, and that no name breaks it.

Writes pages in pytest's folders, and reads them as a browser would.
"""

import base64
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

pytest.importorskip("matplotlib")

from training.diarizer import page as module  # noqa: E402
from training.diarizer.page import page  # noqa: E402
from training.diarizer.rttm import Turn  # noqa: E402

FOUND = [Turn(0, 9, "s2"), Turn(8, 20, "s1"), Turn(25, 30, "s2")]
TRUTH = [Turn(0, 10, "Ann"), Turn(8, 20, "Bo"), Turn(25, 30, "Ann")]


class Page(HTMLParser):
    """Tags with what they are told, and the words outside of scripts and styles."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("script", "style"):
            self.words.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [told for name, told in self.tags if name == tag]


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    path = tmp_path / "talk.wav"
    path.write_bytes(b"RIFF and more")
    return path


def made(sound: Path, *told: object, **more: object) -> Page:
    place = sound.parent / "out" / "talk.html"
    place.parent.mkdir(exist_ok=True)
    page(sound, *told, place, **more)  # type: ignore[arg-type]
    return Page(place)


def test_turns_lie_in_lanes_by_time(sound: Path) -> None:
    held = made(sound, FOUND, 40.0)
    assert not held.open
    assert [told["data-at"] for told in held.all("a")] == ["8.000", "0.000", "25.000"]
    styles = [str(told["style"]) for told in held.all("a")]
    assert [style.rpartition(";")[0] for style in styles] == [
        "left:20.000%;width:30.000%", "left:0.000%;width:22.500%", "left:62.500%;width:12.500%",
    ]  # fmt: skip
    colours = [style.rpartition(":")[2] for style in styles]
    assert colours[1] == colours[2] != colours[0]
    assert [told["class"] for told in held.all("div")] == ["line", "lane found", "lane found"]
    words = "".join(held.words)
    assert "0:40, 2 speakers." in words
    assert "s1 0:12" in words
    assert "s2 0:14" in words


def test_truth_lies_above_in_the_same_colours(sound: Path) -> None:
    held = made(sound, FOUND, 40.0, truth=TRUTH)
    lanes = [told["class"] for told in held.all("div")][1:]
    assert lanes == ["lane truth"] * 2 + ["lane found"] * 2
    colour = {str(t["title"]).split(":")[0]: str(t["style"]).rpartition(":")[2]
              for t in held.all("a")}  # fmt: skip
    assert colour["Ann"] == colour["s2"] != colour["s1"] == colour["Bo"]
    assert "s2, found (is Ann)" in "".join(held.words)


def test_a_small_recording_is_inside_and_a_larger_one_beside(
    sound: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (told,) = made(sound, FOUND, 40.0).all("audio")
    kind, _, data = str(told["src"]).partition(";base64,")
    assert kind == "data:audio/wav"
    assert base64.b64decode(data) == sound.read_bytes()
    monkeypatch.setattr(module, "EMBEDDED", 5)
    (told,) = made(sound, FOUND, 40.0).all("audio")
    assert told["src"] == "../talk.wav"
    odd = sound.rename(sound.with_name('a "b" #1 ü%.wav'))
    (told,) = made(odd, FOUND, 40.0).all("audio")
    assert unquote(str(told["src"])) == f"../{odd.name}"
    assert '"' not in str(told["src"])
    assert "#" not in str(told["src"])


def test_a_long_recording_is_broken_into_lines(sound: Path) -> None:
    turns = [Turn(290, 310, "a")]
    held = made(sound, turns, 3600.0)
    lines = [told for told in held.all("div") if told["class"] == "line"]
    assert [told["data-begin"] for told in lines] == [str(x) for x in range(0, 3600, 300)]
    assert {told["data-line"] for told in lines} == {"300"}
    bars = held.all("a")
    assert [told["data-at"] for told in bars] == ["290.000"] * 2  # what goes on is in both
    assert "left:96.667%;width:3.333%" in str(bars[0]["style"])
    assert "left:0.000%;width:3.333%" in str(bars[1]["style"])
    assert "55:00 to 1:00:00" in held.words


def test_names_break_nothing(tmp_path: Path) -> None:
    evil = "</script><script>alert(1)</script>\"'&<b onclick=x>"
    sound = tmp_path / (evil.replace("/", "_") + "\udcff.wav")
    try:
        sound.write_bytes(b"x")
    except OSError:
        pytest.skip("no such name on this disk")
    turns = [Turn(0, 1, evil), Turn(1, 2, "x\udcff")]
    held = made(sound, turns, 2.0, truth=[Turn(0, 2, evil)])
    assert len(held.all("script")) == 1
    assert not [told for _, told in held.tags if "onclick" in told]
    assert any(evil in word for word in held.words)
    assert any(told.get("title", "").startswith(evil) for told in held.all("a"))  # type: ignore


def test_nothing_comes_from_elsewhere(sound: Path) -> None:
    made(sound, FOUND, 40.0)
    text = (sound.parent / "out" / "talk.html").read_text()
    assert "http" not in text
    assert not re.search(r"url\(|@import|<link|src=\"//", text)


def test_where_nobody_speaks(sound: Path) -> None:
    held = made(sound, [], 3.0)
    assert "nobody speaks" in "".join(held.words)
    assert not held.all("a")
    held = made(sound, [], 0.0)
    assert len(held.all("section")) == 1
