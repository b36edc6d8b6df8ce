"""The pipeline's commands in this process, one task after another: fast enough for wide sweeps.

Reads and writes only what it is given. Does: runs a command without worker processes, lists what a
run touched, copies artifacts so that every case starts from the same state.
"""

import contextlib
import dataclasses
import io
import os
import shutil
import tomllib
import typing
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from pipeline import cli, jobs, shards
from pipeline.audio import pcm

Stamps = dict[str, tuple[int, int, int, int]]


def _one_by_one(
    function: Callable[[Any], Any], tasks: Sequence[Any], count: int, recover: Any = None
) -> Iterator[tuple[int, Any]]:
    for index, task in enumerate(tasks):
        yield index, function(task)


def here(command: str, *args: Any) -> str:
    """Run one command; returns what it prints. Its errors pass through."""
    for cached in (pcm.opened, shards._checked, shards._track):
        cached.cache_clear()  # a new run is a new process
    told = io.StringIO()
    _into(told, command, *args)
    return told.getvalue()


def _into(told: io.StringIO, command: str, *args: Any) -> None:
    real = jobs.run
    jobs.run = _one_by_one
    try:
        with contextlib.redirect_stdout(told), contextlib.redirect_stderr(io.StringIO()):
            cli.cli.main([command, *map(os.fspath, map(_text, args))], standalone_mode=False)
    finally:
        jobs.run = real


def _text(value: Any) -> Any:
    return value if isinstance(value, os.PathLike) else str(value)


def features(data: Path, artifacts: Path, recipe: str, *args: Any) -> str:
    return here("features", "--data", data, "--artifacts", artifacts, "--recipe", recipe, *args)


def verify(artifacts: Path) -> tuple[int, str]:
    """Exit code and output."""
    told = io.StringIO()
    try:
        _into(told, "verify", "--artifacts", artifacts)
    except SystemExit as stop:
        return int(stop.code or 0), told.getvalue()
    return 0, told.getvalue()


def stamps(artifacts: Path) -> Stamps:
    """Every entry of the tree: inode, size, mtime and ctime. A write of any kind moves one."""
    found = {}
    for path in sorted(artifacts.rglob("*")):
        status = path.lstat()
        name = path.relative_to(artifacts).as_posix()
        found[name] = (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    return found


def written(before: Stamps, after: Stamps) -> set[str]:
    """Files that a run made anew."""
    return {name for name, mark in after.items() if before.get(name) != mark and "." in name[1:]}


def copy(artifacts: Path, to: Path) -> Path:
    """The same state elsewhere, as far as bytes and mtimes go."""
    shutil.rmtree(to, ignore_errors=True)
    shutil.copytree(artifacts, to, symlinks=True)
    return to


def fresh(shards: Path, folder: Path) -> Path:
    """Artifacts with those shards and no run."""
    folder.mkdir()
    for index in sorted(shards.glob("*/index.json")):
        (folder / index.parent.name).symlink_to(index.parent)
    return folder


def toml(table: dict[str, Any]) -> str:
    """A recipe's table as TOML: strings, numbers, flags, lists, tables."""
    plain = [f"{k} = {_value(v)}" for k, v in table.items() if not isinstance(v, dict)]
    for name, section in table.items():
        if isinstance(section, dict):
            plain += _section(name, section)
    return "\n".join(plain) + "\n"


def _section(name: str, section: dict[str, Any]) -> list[str]:
    lines = [f"[{name}]"]
    lines += [f"{k} = {_value(v)}" for k, v in section.items() if not isinstance(v, dict)]
    for key, inner in section.items():
        if isinstance(inner, dict):
            lines += _section(f"{name}.{key}", inner)
    return lines


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_value, value)) + "]"
    return repr(value)


def changed(text: str, **changes: Any) -> str:
    """A recipe's text with some keys set: dots are written as two underscores."""
    table = tomllib.loads(text)
    for key, value in changes.items():
        *sections, last = key.split("__")
        place = table
        for section in sections:
            place = place.setdefault(section, {})
        place[last] = value
    return toml(table)


def other(kind: Any, value: Any) -> Any:
    """Another value of the same type: the next of the choices, a number nearby."""
    if typing.get_origin(kind) is typing.Literal:
        choices = typing.get_args(kind)
        return choices[(choices.index(value) + 1) % len(choices)]
    if kind is bool:
        return not value
    if kind is int:
        return value + 1
    if kind is float:
        return value * 1.25 + 0.01
    if typing.get_origin(kind) is tuple and value:
        (first, *rest), item = value, typing.get_args(kind)[0]
        return [*reversed(rest), first] if rest else [other(item, first)]
    return f"{value} and more"


def keys(section: type) -> dict[str, Any]:
    """Key -> type, for one table of a recipe."""
    hints = typing.get_type_hints(section)
    return {f.name: hints[f.name] for f in dataclasses.fields(section)}
