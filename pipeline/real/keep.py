"""One package's recordings, placed in the corpus.

Reads: a package file. Does: takes out what RULES want, makes of it what the pipeline reads, listens
to each file once to its end, leaves out what cannot be read. Writes: <part>/<package>/..., moved
into place when complete, licences/<package>.txt, and last a sealed receipt.
"""

import os
import re
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pipeline.audio import codecs
from pipeline.disk import store
from pipeline.errors import MelmillError, Rejected
from pipeline.layouts.rttm import tie
from pipeline.real import sets, sounds
from pipeline.real.packages import Package, files

LICENCES = "licences"
WORK = ".packages"  # package files on their way, receipts; hidden, so that no scan looks inside
SCHEMA = 2  # raise it whenever other files, names, classes or groups would come out


@dataclass(frozen=True)
class Kept:
    """A recording of the corpus."""

    path: str  # below the corpus
    bytes: int
    sha256: str
    seconds: float
    label: str
    group: str
    title: str = ""  # what the package says of this very file: its author, its licence


@dataclass
class Receipt:
    package: str
    version: str
    kept: list[Kept] = field(default_factory=list)
    left_out: list[list[str]] = field(default_factory=list)  # path in the package, why


def receipt(out: Path, name: str) -> Receipt | None:
    """What stands of a package; None unless each of its files is there, in its size."""
    try:
        told = store.load_sealed(_receipt_path(out, name))
        if told["schema"] != SCHEMA:
            return None
        kept = [Kept(**row) for row in told["kept"]]
        if all((out / one.path).stat().st_size == one.bytes for one in kept):
            return Receipt(name, told["version"], kept, told["left_out"])
    except (OSError, MelmillError, KeyError, TypeError):
        pass
    return None


def _receipt_path(out: Path, name: str) -> Path:
    return out / WORK / f"{name}.json"


def keep(package: Package, deb: Path, out: Path) -> Receipt:
    """Place what the package file holds."""
    licence = f"usr/share/doc/{package.name}/copyright"
    fresh = out / WORK / package.name
    shutil.rmtree(fresh, ignore_errors=True)
    made = Receipt(package.name, package.version)
    names = _Names()
    terms = b""
    for path, data in files(deb, _wanted(package.name, licence)):
        if path == licence:
            terms = data
            continue
        try:
            for place, title, ending, sound in _recordings(package.name, path, data):
                _add(made, fresh, names, place, title, ending, sound)
        except (Rejected, ValueError, LookupError) as err:
            made.left_out.append([path, str(err)])
    if not terms:
        raise MelmillError(
            "the package holds no licence: nothing of it is kept", where=package.name
        )
    _move(made, fresh, out)
    store.write_bytes(out / LICENCES / f"{package.name}.txt", terms)
    os.sync()  # the files themselves, before what says that they are there
    told = {"schema": SCHEMA, **asdict(made)}
    store.write_bytes(_receipt_path(out, package.name), store.dump_json(store.seal(told)))
    return made


def _wanted(package: str, licence: str) -> Callable[[str], bool]:
    return lambda path: path == licence or sets.place(package, path) is not None


def _recordings(
    package: str, path: str, data: bytes
) -> Iterator[tuple[sets.Place, str, str, bytes]]:
    """(place, title, suffix, bytes) of what one packed file comes to."""
    place = sets.place(package, path)
    assert place is not None  # it was wanted
    if path.endswith(f"/{sets.BUNDLE}"):
        for title, sound in sounds.bundled(data):
            short = re.split(r'"\. ', title, maxsplit=1)[0].strip('"')
            source = sets.sourced(package, plain(sounds.original(title) or short))
            one = sets.Place(place.part, short, sets.classed(short), source)
            yield one, title, ".wav", sound
    elif sets.needs_av(package):
        yield place, "", ".wav", sounds.from_g722(data)
    else:
        yield place, "", os.path.splitext(path)[1].lower(), data


def _add(
    made: Receipt,
    fresh: Path,
    names: "_Names",
    place: sets.Place,
    title: str,
    ending: str,
    sound: bytes,
) -> None:
    """Write a recording and listen to it; what cannot be read is taken away again."""
    folder = f"{place.part}/{made.package}/{plain(place.label or place.group)}"
    path = fresh / names.free(f"{folder}/{plain(place.name)}", ending)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(sound)
    try:
        with codecs.open_sound(path) as reader:
            seconds = sum(len(block) for block in reader.blocks()) / reader.sound.rate
    except Rejected as why:
        path.unlink()
        made.left_out.append([place.name, str(why)])
        return
    where = path.relative_to(fresh).as_posix()
    made.kept.append(
        Kept(where, len(sound), store.sha256(sound), round(seconds, 3), place.label, place.group,
             title)
    )  # fmt: skip


def _move(made: Receipt, fresh: Path, out: Path) -> None:
    """Put the package's folders where they belong, in the place of older ones."""
    for part in sets.ROLES:
        goal = out / part / made.package
        shutil.rmtree(goal, ignore_errors=True)
        if (fresh / part / made.package).is_dir():
            goal.parent.mkdir(parents=True, exist_ok=True)
            os.rename(fresh / part / made.package, goal)
    shutil.rmtree(fresh, ignore_errors=True)


def plain(text: str) -> str:
    """A name that every file system takes and that leads nowhere."""
    return re.sub(r"[^A-Za-z0-9]+", "_", text).strip("_")[:100] or "sound"


class _Names:
    """Names that are not taken: two letters of another alphabet may look the same when plain."""

    def __init__(self) -> None:
        self.taken: set[str] = set()

    def free(self, stem: str, ending: str) -> str:
        number, name = 1, stem + ending
        while name.lower() in self.taken:
            number += 1
            name = f"{stem}-{number}{ending}"
        self.taken.add(name.lower())
        return name


def rows(receipts: list[Receipt]) -> list[dict[str, Any]]:
    """Every recording with what is known of it and where it comes from.

    Groups that share a recording, byte for byte, are one: voices of a game borrow from each other.
    """
    owners: dict[str, set[str]] = defaultdict(set)
    for one in (one for each in receipts for one in each.kept):
        owners[one.sha256].add(one.group)
    first = tie(owners.values())
    found = [
        {
            **asdict(one),
            "group": first[one.group],
            "role": sets.ROLES[one.path.split("/")[0]],
            "package": each.package,
            "version": each.version,
            "licence": f"{LICENCES}/{each.package}.txt",
        }
        for each in receipts
        for one in each.kept
    ]
    return sorted(found, key=lambda row: row["path"])
