"""Packages of Debian and Ubuntu, fetched and read without root and without installing anything.

Reads: what the system's own package client knows and fetches. Does: asks it for sizes and hashes,
fetches a package, holds it against its hash, streams the files inside. Writes: one .deb file, into
the folder given.
"""

import contextlib
import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.disk import stamps
from pipeline.errors import MelmillError

TRIES = 2  # a damaged download is fetched once more
LOOK = 0.2  # seconds between looks at how much is there
UPDATE = "run `apt-get update` as root, then the same command again"


@dataclass(frozen=True)
class Package:
    name: str
    version: str
    bytes: int  # of the package file
    unpacked: int  # bytes on disk, as the package says
    sha256: str


def need_client() -> None:
    """Refuse to begin where the system has no such client."""
    absent = [n for n in ("apt-get", "apt-cache", "dpkg-deb") if shutil.which(n) is None]
    if absent:
        raise MelmillError(
            f"the recordings are packages of Debian and Ubuntu, and {absent[0]} is not here",
            do="run it there and copy the folder, or in a container of one of them; or give "
            "recordings of your own with DATA=",
        )


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, env=_around(), check=False)
    return done.stdout.decode("utf-8", "replace")


def _around() -> dict[str, str]:
    return {**os.environ, "LC_ALL": "C"}  # the client's own words are read


def known(names: Sequence[str]) -> dict[str, Package]:
    """What the client would fetch, by name; a package that it does not know is not in it."""
    found = {}
    for told in _run("apt-cache", "show", "--no-all-versions", *names).split("\n\n"):
        row = dict(re.findall(r"^([A-Z][A-Za-z0-9-]*): (.*)$", told, re.M))
        with contextlib.suppress(KeyError, ValueError):
            size, unpacked = int(row["Size"]), int(row["Installed-Size"]) << 10
            found[row["Package"]] = Package(
                row["Package"], row["Version"], size, unpacked, row["SHA256"]
            )
    return {name: found[name] for name in names if name in found}


def fetch(package: Package, folder: Path, step: Callable[[int], None]) -> Path:
    """The package's file, whole; `step` is told how many more bytes have come."""
    said = ""
    for _ in range(TRIES):
        whole = _whole(package, folder)
        if whole is not None:
            return whole
        said = _download(package, folder, step)
    whole = _whole(package, folder)
    if whole is None:
        raise MelmillError("cannot fetch the package", where=package.name, got=said, do=UPDATE)
    return whole


def _whole(package: Package, folder: Path) -> Path | None:
    """The file if it is there and is what the client's lists say; a damaged one is removed."""
    for path in sorted(folder.glob(f"{package.name}_*.deb")):
        if path.stat().st_size == package.bytes and stamps.sha256_file(path) == package.sha256:
            return path
        path.unlink()
    return None


def _download(package: Package, folder: Path, step: Callable[[int], None]) -> str:
    """Let the client work; returns the last that it said."""
    sandbox = "APT::Sandbox::User=root"  # else it warns that its own user may not write here
    command = ["apt-get", "-q", "-o", sandbox, "download", f"{package.name}={package.version}"]
    done = 0
    with subprocess.Popen(
        command, cwd=folder, env=_around(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as client:
        while client.returncode is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                client.wait(LOOK)
            there = sum(path.stat().st_size for path in folder.glob(f"{package.name}_*"))
            step(there - done)
            done = there
        said = client.stderr.read().decode("utf-8", "replace") if client.stderr else ""
    lines = [line for line in said.splitlines() if line.startswith("E:")] or said.splitlines()
    return lines[-1] if lines else f"{done} bytes that are not what the lists of packages say"


def files(deb: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    """(path, bytes) of each regular file that is wanted: nothing is unpacked on disk."""
    command = ["dpkg-deb", "--fsys-tarfile", os.fspath(deb)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as reader:
        assert reader.stdout is not None
        try:
            with tarfile.open(fileobj=reader.stdout, mode="r|") as tar:
                for member in tar:
                    path = member.name.removeprefix("./")
                    held = tar.extractfile(member) if member.isreg() and wanted(path) else None
                    if held is not None:
                        yield path, held.read()
        except tarfile.TarError as err:
            raise MelmillError(f"cannot read the package ({err})", where=deb) from err
        finally:
            reader.stdout.close()
