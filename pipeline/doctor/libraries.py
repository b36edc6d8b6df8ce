"""Python and the libraries: what is installed against what the project asks for.

Reads: pyproject.toml, .ci/core.lock, the environment's own records of packages. Does: compares;
nothing is imported but the standard library, so that it works where a library is missing. Writes
nothing; `report` prints.
"""

import importlib.metadata
import os
import platform
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

from pipeline.doctor.finding import BAD, NOTE, OK, Finding, lines, verdict

HERE = Path(__file__).resolve().parent.parent.parent
LOCK = Path(".ci") / "core.lock"
EXTRAS = {  # what a framework is for, and its packages: any one of them
    "torch": ("make train-denoiser, train-diarizer", ("torch",)),
    "tensorflow": (
        "make train-classifier, train-hybrid, train-tagger",
        ("tensorflow-cpu", "tensorflow"),
    ),
}


def installed(name: str) -> str:
    """A package's version, "" if it is not there."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def asked() -> tuple[str, list[str]]:
    """(range of Python, ranges of libraries), such as (">=3.11", ["numpy>=2.0"])."""
    with open(HERE / "pyproject.toml", "rb") as file:
        project = tomllib.load(file)["project"]
    return project["requires-python"], project["dependencies"]


def fits(version: str, wanted: str) -> bool:
    """Whether a version is in a range of the only form used here: `>=` and a number."""
    return _numbers(version) >= _numbers(wanted.partition(">=")[2])


def _numbers(version: str) -> list[int]:
    found = [int(part) for part in re.findall(r"\d+", re.split(r"[a-z+]", version)[0])]
    while found and found[-1] == 0:  # 2.0 is 2
        found.pop()
    return found


def python() -> str:
    """How a person calls this Python."""
    here = os.path.relpath(sys.executable)
    return sys.executable if here.startswith("..") else here


def check() -> Iterator[Finding]:
    wanted, libraries = asked()
    version = platform.python_version()
    good = fits(version, wanted)
    do = f"remove .venv and give PYTHON=a Python that is {wanted}"
    yield Finding(OK if good else BAD, "python", f"{version} (asked: {wanted})", "" if good else do)
    wrong = [problem for one in libraries if (problem := _problem(one))]
    if wrong:
        install = f"{python()} -m pip install -r {LOCK}"
        yield Finding(BAD, "libraries", "; ".join(wrong), install)
    else:
        yield Finding(OK, "libraries", f"all {len(libraries)}, as pyproject.toml asks")
    if not wrong and (other := _unlocked(libraries)):
        yield Finding(
            NOTE, "lock", f"not the versions of {LOCK}: {', '.join(other)}",
            f"to have the very bytes of another machine, {python()} -m pip install -r {LOCK}; "
            "else do nothing: shards made by other versions are made again",
        )  # fmt: skip


def _problem(wanted: str) -> str:
    name = wanted.partition(">=")[0]
    version = installed(name)
    if not version:
        return f"{name} is missing"
    return "" if fits(version, wanted) else f"{name} {version} is too old (asked: {wanted})"


def _unlocked(libraries: list[str]) -> list[str]:
    """Direct dependencies whose version is not the locked one; they decide the bytes."""
    path = HERE / LOCK
    text = path.read_text("utf-8") if path.exists() else ""
    locked = dict(re.findall(r"^([A-Za-z0-9_.-]+)==(\S+)", text, re.M))
    found = []
    for name in (one.partition(">=")[0] for one in libraries):
        version, wanted = installed(name), locked.get(name, "")
        if wanted and version != wanted:
            found.append(f"{name} {version} ({wanted})")
    return found


def extras() -> Iterator[Finding]:
    """What training needs."""
    for name, (what, packages) in EXTRAS.items():
        version = next((v for package in packages if (v := installed(package))), "")
        if version:
            yield Finding(OK, name, f"{version}, for {what}")
        else:
            do = f"nothing for now: these targets install it themselves, or `make {name}`"
            yield Finding(NOTE, name, f"not installed; it is for {what}", do)


def report(error: BaseException) -> int:
    """For an environment in which the commands cannot even be imported; the exit code."""
    found = list(check())
    if not any(finding.mark == BAD for finding in found):
        install = f"{python()} -m pip install --force-reinstall -r {LOCK}"
        said = " ".join(f"{type(error).__name__}: {error}".split())
        found.append(Finding(BAD, "imports", said, install))
    asked_for = sys.argv[1:2] == ["doctor"]  # else its findings are this command's error
    shown = found if asked_for else [finding for finding in found if finding.mark == BAD]
    out = sys.stdout if asked_for else sys.stderr
    print("\n".join(lines(finding) for finding in shown), file=out)
    print(f"\ndoctor: {verdict(found)}; the other checks need the libraries", file=out)
    return 1
