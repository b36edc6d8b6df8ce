"""The corpus of real recordings, with a package client that only pretends, and tiny packages.

Reads nothing outside. Does: builds .deb files of two-tenths of a second of sound, puts a client on
PATH that hands them out, counts what is asked of it. Writes: in pytest's folders.
"""

import csv
import hashlib
import importlib.util
import os
import shutil
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from pipeline.errors import MelmillError
from pipeline.real import corpus, packages, sets, sounds
from tests import corpus as made
from tests import here

pytestmark = pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="dpkg-deb is not here")

CLIENT = """#!/bin/sh
echo "$0 $*" >> {root}/asked
case "$(basename $0)" in
apt-cache) cat {root}/lists ;;
apt-get)
  for last; do :; done
  name=${{last%%=*}}
  cp {root}/pool/$name.deb ./${{name}}_1_all.deb || exit 100
  if [ -e {root}/cut ]; then
    truncate -s 300 ./${{name}}_1_all.deb
    rm {root}/cut
  fi ;;
esac
"""


def wav(seed: int) -> bytes:
    path = Path(os.environ["PYTEST_TMP"]) / "one.wav"
    sf.write(path, made.voice(seed, 0.2), made.RATE, "PCM_16")
    return path.read_bytes()


def bundle(*entries: tuple[str, bytes]) -> bytes:
    """Sounds as OpenTTD's files hold them."""
    at, table, body = 8 * len(entries), b"", b""
    for title, data in entries:
        name = title.encode() + b"\0"
        table += struct.pack("<II", at + len(body) | 1 << 31, len(data))
        body += bytes([len(name)]) + name + data
    return table + body


def contents() -> dict[str, dict[str, bytes]]:
    scratch, hedgewars = "usr/share/scratch/Media/Sounds", "usr/share/games/hedgewars/Data"
    voices = f"{hedgewars}/Sounds/voices"
    title = '"Modern bus start". Original "london bus.wav" by "icmusic". License: CC BY 3.0.'
    other = '"Toyland: Comedy truck". Original "london bus.wav" and "x.mp3". License: CC BY 3.0.'
    return {
        "scratch": {
            f"{scratch}/Animal/Dog1.wav": wav(1), f"{scratch}/Animal/Dog2.wav": wav(2),
            f"{scratch}/Animal/Cat.wav": b"RIFF no sound at all",
            f"{scratch}/Percussion/Gong.wav": wav(3), f"{scratch}/readme.txt": b"words",
        },
        "hedgewars-data": {
            f"{voices}/Default/bye.wav": wav(4), f"{voices}/Classic/bye.wav": wav(4),
            f"{voices}/Classic/ah.wav": wav(5), f"{voices}/Pirate/ah.wav": wav(6),
        },
        "openttd-opensfx": {
            "usr/share/games/openttd/baseset/opensfx/opensfx.cat": bundle(
                (title, wav(7)), (other, wav(8)), ("Nothing", b"")
            ),
        },
        "asterisk-core-sounds-en-g722": {
            "usr/share/asterisk/sounds/en_US_f_Allison/hello.g722": bytes(range(256)) * 4,
        },
    }  # fmt: skip


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packages, and what a client says of them."""
    root = tmp_path_factory.mktemp("pool")
    os.environ["PYTEST_TMP"] = os.fspath(root)
    (root / "pool").mkdir()
    told = []
    for name, files in contents().items():
        tree = root / name
        for path, data in {**files, f"usr/share/doc/{name}/copyright": b"free\n"}.items():
            (tree / path).parent.mkdir(parents=True, exist_ok=True)
            (tree / path).write_bytes(data)
        (tree / "DEBIAN").mkdir()
        (tree / "DEBIAN" / "control").write_text(
            f"Package: {name}\nVersion: 1\nArchitecture: all\nMaintainer: x <x@y>\nDescription: x\n"
        )
        deb = root / "pool" / f"{name}.deb"
        subprocess.run(["dpkg-deb", "--build", "-Znone", tree, deb], check=True,
                       stdout=subprocess.DEVNULL)  # fmt: skip
        data = deb.read_bytes()
        told.append(
            f"Package: {name}\nVersion: 1\nInstalled-Size: 9\nSize: {len(data)}\n"
            f"SHA256: {hashlib.sha256(data).hexdigest()}\nDescription-en: x\n folded: y\n"
        )
    (root / "lists").write_text("\n".join(told))
    return root


@pytest.fixture
def client(pool: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """A client that hands out those; returns what it was asked to download so far."""
    for name in ("apt-get", "apt-cache"):
        path = pool / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(CLIENT.format(root=pool))
        path.chmod(0o755)
    (pool / "asked").write_text("")
    monkeypatch.setenv("PATH", f"{pool / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setattr(packages, "LOOK", 0.01)

    def downloads() -> list[str]:
        lines = (pool / "asked").read_text().splitlines()
        return [line.split()[-1] for line in lines if " download " in line]

    return downloads


def table(path: Path) -> dict[str, dict[str, str]]:
    with open(path, encoding="utf-8") as file:
        return {row["path"]: row for row in csv.DictReader(file)}


def test_fetched_listed_and_attributed(
    client: Callable[[], list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "real"
    corpus.ensure(out)
    said = capsys.readouterr()
    assert "packages, 0 MB to fetch" in said.out  # tiny ones
    assert "left out, scratch: Animal/Cat (" in said.err  # with its reason
    known = table(out / "melmill.csv")
    dog = known["noise/scratch/animal/Animal_Dog1.wav"]
    assert (dog["label"], dog["group"], dog["role"]) == ("animal", "scratch_dog", "noise")
    assert known["noise/scratch/animal/Animal_Dog2.wav"]["group"] == dog["group"]
    assert known["sounds/scratch/drums/Percussion_Gong.wav"]["role"] == "labelled"
    there = {path.relative_to(out).as_posix() for path in out.glob("*/*/*/*")}
    assert there == known.keys()  # nothing that is not listed, such as the cat
    part = table(out / "noise" / "melmill.csv")
    assert part["scratch/animal/Animal_Dog1.wav"] == dog | {
        "path": "scratch/animal/Animal_Dog1.wav"
    }
    sources = table(out / "sources.csv")
    assert sources.keys() == known.keys()
    for path, row in sources.items():
        assert (out / path).is_file()
        assert (out / row["licence"]).read_bytes() == b"free\n"
        assert row["version"] == "1"
    titles = [row["title"] for row in sources.values() if row["package"] == "openttd-opensfx"]
    assert all('by "icmusic"' in title or "x.mp3" in title for title in titles)
    assert not list(out.rglob("*.deb"))


def test_what_may_be_one_source_is_one_group(
    client: Callable[[], list[str]], tmp_path: Path
) -> None:
    """Two sounds made of one recording; two voices that share a file."""
    corpus.ensure(tmp_path)
    known = table(tmp_path / "melmill.csv")
    buses = {row["group"] for path, row in known.items() if "opensfx" in path}
    assert buses == {"openttd-opensfx_london_bus"}
    voices = {path.split("/")[2]: row["group"] for path, row in known.items() if "hedge" in path}
    assert voices["hedgewars_Default"] == voices["hedgewars_Classic"]
    assert voices["hedgewars_Pirate"] != voices["hedgewars_Classic"]


def test_nothing_is_fetched_twice(client: Callable[[], list[str]], tmp_path: Path) -> None:
    corpus.ensure(tmp_path)
    first = client()
    assert len(first) == len(set(first)) >= 3
    (tmp_path / "sources.csv").unlink()
    corpus.ensure(tmp_path)
    assert client() == first
    assert (tmp_path / "sources.csv").is_file()
    (tmp_path / "noise/scratch/animal/Animal_Dog1.wav").unlink()
    corpus.ensure(tmp_path)
    assert client() == [*first, "scratch=1"]  # that package alone
    assert (tmp_path / "noise/scratch/animal/Animal_Dog1.wav").is_file()


def test_a_damaged_download_is_seen_and_fetched_again(
    client: Callable[[], list[str]], pool: Path, tmp_path: Path
) -> None:
    (pool / "cut").touch()
    corpus.ensure(tmp_path)
    asked = client()
    assert len(asked) == len(set(asked)) + 1
    assert len(table(tmp_path / "melmill.csv")) >= 8


def test_a_package_that_cannot_be_had_stops_no_other(
    client: Callable[[], list[str]], pool: Path, tmp_path: Path
) -> None:
    deb = pool / "pool" / "scratch.deb"
    deb.rename(pool / "away")
    try:
        with pytest.raises(MelmillError, match="1 of . packages are not there.*goes on from here"):
            corpus.ensure(tmp_path)
    finally:
        (pool / "away").rename(deb)
    assert (tmp_path / "licences" / "openttd-opensfx.txt").exists()
    assert not (tmp_path / "licences" / "scratch.txt").exists()
    corpus.ensure(tmp_path)
    assert client().count("openttd-opensfx=1") == 1
    assert (tmp_path / "licences" / "scratch.txt").exists()


def test_without_pyav_its_sets_are_named(
    client: Callable[[], list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda n: None if n == "av" else real(n))
    absent = corpus.ensure(tmp_path)
    (line,) = [line for line in absent if "G.722" in line]
    assert line.startswith("asterisk-core-sounds-en-g722:")
    assert "pip install av" in line
    assert "asterisk-core-sounds-en-g722=1" not in client()


@pytest.mark.skipif(importlib.util.find_spec("av") is None, reason="PyAV is not here")
def test_g722_becomes_wav(client: Callable[[], list[str]], tmp_path: Path) -> None:
    corpus.ensure(tmp_path)
    path = tmp_path / "speech/asterisk-core-sounds-en-g722/en_US_f_Allison/hello.wav"
    samples, rate = sf.read(path)
    assert rate == sounds.G722_RATE
    assert abs(len(samples) - 2048) <= 64  # 1024 bytes of two samples each
    assert np.ptp(samples) > 0


def test_elsewhere_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", os.fspath(tmp_path))
    with pytest.raises(MelmillError, match=r"Debian and Ubuntu, and apt-get is not here\. Run it"):
        corpus.ensure(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_pipeline_takes_it_as_it_is(client: Callable[[], list[str]], tmp_path: Path) -> None:
    """By the command, then a scan of all and of a part."""
    out = tmp_path / "real"
    assert f"make features DATA={out}" in here.here("real-audio", "--out", out)
    for folder in (out, out / "noise"):
        said = here.here("scan", "--data", folder, "--artifacts", tmp_path / "a")
        assert "layout csv" in said
        assert "unlisted" not in (tmp_path / "a" / "manifest.jsonl").read_text()


def test_a_client_that_knows_none_of_them_says_so(
    client: Callable[[], list[str]], pool: Path, tmp_path: Path
) -> None:
    (pool / "lists").rename(pool / "kept")
    try:
        with pytest.raises(MelmillError, match="knows none of the packages. Run `apt-get update`"):
            corpus.ensure(tmp_path)
    finally:
        (pool / "kept").rename(pool / "lists")


@pytest.mark.parametrize(
    ("package", "path", "where"),
    [
        ("klettres-data", "usr/share/klettres/en_GB/alpha/a.ogg", ("speech", "", "kde_en")),
        ("ktuberling-data", "usr/share/ktuberling/sounds/sr@latin/x.wav", ("voices", "", "kde_sr")),
        ("tuxpaint-stamps-default", "usr/share/tuxpaint/stamps/animals/birds/owl_desc_pt_BR.wav",
         ("voices", "", "tuxpaint_pt")),
        ("tuxpaint-stamps-default", "usr/share/tuxpaint/stamps/animals/birds/owl_desc.ogg",
         ("voices", "", "tuxpaint_en")),
        ("tuxpaint-stamps-default", "usr/share/tuxpaint/stamps/animals/birds/owl.ogg",
         ("noise", "animal", "tuxpaint-stamps-default_owl")),
        ("tuxpaint-stamps-default", "usr/share/tuxpaint/stamps/symbols/math/0_el.ogg", None),
        ("asterisk-core-sounds-fr-g722", "usr/share/asterisk/sounds/fr_CA_f_June/silence/1.g722",
         None),
        ("sonic-pi-samples", "usr/share/sonic-pi/samples/loop_amen_full.flac",
         ("sounds", "loop", "sonic-pi-samples_loop_amen")),
        ("extremetuxracer-data", "usr/share/games/etr/music/race1-jt.ogg",
         ("music", "", "etr_jt")),
        ("sonic-pi-samples", "usr/share/sonic-pi/samples/tabla_dhec.flac",
         ("sounds", "drums", "tabla")),
        ("scratch", "usr/share/scratch/Media/Sounds/Instruments/C1 elec Piano.mp3",
         ("sounds", "instrument", "scratch_c1 elec piano")),
    ],
)  # fmt: skip
def test_what_is_known_of_a_path(package: str, path: str, where: tuple[str, ...] | None) -> None:
    place = sets.place(package, path)
    assert (place and (place.part, place.label, place.group)) == where
