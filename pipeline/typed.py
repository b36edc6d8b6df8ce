"""Tables as text gives them, turned into frozen dataclasses.

Reads and writes nothing. Does: checks every key and type against the dataclass' own; an unknown key
or a wrong type is an error that names the key, the value and the nearest valid key.
"""

import dataclasses
import difflib
import functools
import types
import typing
from pathlib import Path
from typing import Any

from pipeline.errors import UsageError


def nearest(word: str, words: typing.Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(words), n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else ""


def merge(table: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    merged = dict(table)
    for key, value in changes.items():
        old = merged.get(key)
        nested = isinstance(old, dict) and isinstance(value, dict)
        merged[key] = merge(old, value) if nested else value  # type: ignore[arg-type]
    return merged


def typed(kind: Any, value: Any, key: str, path: Path) -> Any:
    """`value` as `kind`, or an error that names the key."""
    if dataclasses.is_dataclass(kind):
        return _table(kind, value, key, path)
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):  # the only unions here are with None
        return typed(args[0], value, key, path)
    if origin is tuple and isinstance(value, list):
        return tuple(typed(args[0], v, f"{key}[{i}]", path) for i, v in enumerate(value))
    if origin is dict and isinstance(value, dict):
        return {k: typed(args[1], v, f"{key}.{k}", path) for k, v in value.items()}
    if origin is typing.Literal:
        if value in args:
            return value
        wanted = "one of " + ", ".join(map(str, args))
        raise UsageError(f"{key} = {value!r}", where=path, expected=wanted)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            got = f"one of {value.bit_length()} bits"
            what = f"{key} is too large"
            raise UsageError(what, where=path, expected="a float", got=got) from None
    if isinstance(kind, type) and type(value) is kind:
        return value
    wanted = {tuple: "a list", dict: "a table"}.get(origin) or kind.__name__
    raise UsageError(f"{key} = {value!r}", where=path, expected=wanted, got=type(value).__name__)


@functools.cache
def _hints(kind: Any) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _table(kind: Any, value: Any, key: str, path: Path) -> Any:
    if not isinstance(value, dict):
        raise UsageError(f"{key} = {value!r}", where=path, expected="a table")
    hints = _hints(kind)
    for name in value:
        if name not in hints:
            where = f"{key}.{name}" if key else name
            raise UsageError(
                f"unknown key {where} = {value[name]!r}",
                where=path,
                expected="one of " + ", ".join(hints),
                do=nearest(name, hints),
            )
    for f in dataclasses.fields(kind):
        must = f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
        if must and f.name not in value:
            raise UsageError(f"missing key {key + '.' if key else ''}{f.name}", where=path)
    prefix = f"{key}." if key else ""
    return kind(**{n: typed(hints[n], v, prefix + n, path) for n, v in value.items()})
