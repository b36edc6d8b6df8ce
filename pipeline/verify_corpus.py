"""Are the decoded audio and the lists what they claim to be?

Reads: the manifest, every pack, splits.csv, rejected.csv. Does: checks each pack's checksums
against the index of the packs, and makes the lists again from the manifest and the packs: they must
come out as they stand. Writes nothing.
"""

from collections.abc import Iterator
from pathlib import Path

from pipeline import corpus, decode, jobs, scan
from pipeline.audio import pcm
from pipeline.decode import Decoded
from pipeline.errors import MelmillError
from pipeline.progress import Progress
from pipeline.scan import Manifest
from pipeline.verify_notes import EXTRA, RUN


def check(artifacts: Path, count: int) -> tuple[list[str], list[Path]]:
    """(faults, damaged packs)."""
    try:
        manifest = scan.read(artifacts, artifacts)
        decoded, packs = decode.stored(artifacts / "pcm" / "index.json")
    except FileNotFoundError as err:
        return [f"{err.filename}: missing. {RUN}"], []
    except (MelmillError, KeyError, TypeError) as err:
        return [str(err)], []
    damaged = _packs(decoded.folder, packs, count)
    faults = [f"{path}: damaged or missing decoded audio. {RUN}" for path in damaged]
    there = {path.name for path in decoded.folder.iterdir()} - {"index.json"}
    extra = sorted(there - set(packs))
    faults += [f"{decoded.folder / name}: {EXTRA}" for name in extra]
    known = decoded.recordings.keys() | decoded.rejected.keys()
    if not damaged and known == {r.id for r in manifest.used()}:  # else a stage is yet to be run
        faults += _lists(artifacts, manifest, decoded)
    return faults, damaged


def _packs(folder: Path, packs: dict[str, str], count: int) -> list[Path]:
    names = list(packs)
    paths = [folder / name for name in names]
    found = []
    with Progress("verify packs", len(paths), "pack") as bar:
        for index, said in jobs.run(_check, paths, count) if paths else ():
            if said != packs[names[index]]:
                found.append(paths[index])
            bar.step(1)
    return sorted(found)


def _check(path: Path) -> str:
    try:
        return pcm.check(path)
    except OSError:
        return ""


def _lists(artifacts: Path, manifest: Manifest, decoded: Decoded) -> Iterator[str]:
    """The splits as they stand, given back, must give themselves: so no group is lost or new."""
    path = artifacts / "splits.csv"
    if not path.is_file():
        yield f"{path}: missing. {RUN}"
        return
    try:
        wanted = corpus.join(manifest, decoded, str(path)).lists()
    except MelmillError as err:
        yield f"{path}: not the splits of this corpus ({err})"
        return
    for name, data in wanted.items():
        there = (artifacts / name).read_bytes() if (artifacts / name).is_file() else b""
        if there != data:
            yield f"{artifacts / name}: not what the manifest and the packs give. {RUN}"
