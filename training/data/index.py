"""What a recipe's build offers to training: the index, and where its shards lie.

Reads ``artifacts/<recipe>/index.json`` and the names and sizes of the shards beside it; writes
nothing. Does: refuses an index that is of another schema, mistyped, points out of its folder, or
does not agree with the files that are there.
"""

import hashlib
import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path, PurePosixPath
from typing import Any, get_args, get_origin, get_type_hints

import numpy as np

from training.errors import plain

SCHEMA = 1
SPLITS = ("train", "valid", "test")
FORMATS = ("hdf5", "tfrecord")
REBUILD = "run make features to rebuild what is damaged"

_TYPES = {"float32": "<f4", "float16": "<f2", "uint8": "|u1", "int32": "<i4", "int64": "<i8"}
_STORED = {"f": "float32", "i": "int64", "u": "int64", "S": "string"}  # in a tf.train.Example


class DataError(Exception):
    """The artifacts cannot be trained from. One line: what, where, expected, got, what to do."""

    def __init__(
        self, what: str, where: object, expected: object = "", got: object = "", do: str = REBUILD
    ) -> None:
        more = ("expected", expected), ("got", got)
        told = (f"{word} {plain(value)}" for word, value in more if str(value))
        super().__init__("; ".join([f"{plain(where)}: {plain(what)}", *told]) + f". {do[0].upper()}{do[1:]}")


@dataclass(frozen=True)
class Field:
    """One array of every shard; ``shape`` and ``axes`` are those of one example."""

    name: str
    dtype: str  # float32, float16, uint8, int32, int64 or bytes<N>
    shape: tuple[int, ...]
    unit: str
    axes: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.dtype not in _TYPES and not re.fullmatch(r"bytes[1-9][0-9]{0,3}", self.dtype):
            raise ValueError(f"field {self.name!r}: unknown type {self.dtype!r}")
        if min(self.shape, default=1) < 1 or len(self.axes) != len(self.shape):
            raise ValueError(f"field {self.name!r}: bad shape {self.shape} or axes {self.axes}")

    @property
    def numpy(self) -> np.dtype[Any]:
        """The stored type; bytes<N> is NumPy's S<N>."""
        return np.dtype(_TYPES.get(self.dtype, f"S{self.dtype.removeprefix('bytes')}"))

    @property
    def nbytes(self) -> int:
        """Bytes of one example."""
        return math.prod(self.shape) * self.numpy.itemsize


@dataclass(frozen=True)
class Statistics:
    """Of one field over the train split: values seen per entry, their mean and deviation."""

    count: int
    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    def __post_init__(self) -> None:
        finite = all(map(math.isfinite, (*self.mean, *self.deviation)))
        if not finite or len(self.mean) != len(self.deviation):
            raise ValueError("statistics: not as many finite means as deviations")


@dataclass(frozen=True)
class Shard:
    """One sealed file; ``path`` is relative to the index's folder."""

    path: str
    split: str
    format: str
    examples: int
    bytes: int
    sha256: str

    def __post_init__(self) -> None:
        if self.split not in SPLITS or self.format not in FORMATS:
            raise ValueError(f"shard {self.path!r}: unknown {self.split!r} or {self.format!r}")
        if min(self.examples, self.bytes) < 1 or not re.fullmatch("[0-9a-f]{64}", self.sha256):
            raise ValueError(f"shard {self.path!r}: bad examples, bytes or sha256")


@dataclass(frozen=True)
class Index:
    """Everything that training knows of its data."""

    folder: Path
    name: str
    key: str
    recipe: Mapping[str, Any]
    fields: tuple[Field, ...]
    classes: tuple[str, ...]
    tags: tuple[str, ...]
    statistics: Mapping[str, Statistics]
    entries: tuple[Shard, ...] = field(metadata={"key": "shards"})  # its name in the file
    receipts: tuple[str, ...]  # the build's own notes; nothing for training
    noise: tuple[Shard, ...]  # tracks that mixtures are, or can be, made with
    noise_fields: tuple[Field, ...]
    noises: tuple[str, ...]  # what `noise_kind` points at
    names: Mapping[str, tuple[str, ...]]  # vector field -> what its numbers are
    fingerprint: str
    counts: Mapping[str, Any]
    feature_description: Mapping[str, Any]

    def shards(self, split: str, format: str) -> tuple[Shard, ...]:
        """The split's shards in the index's order; none when the split is empty."""
        held = sorted({shard.format for shard in self.entries})
        if format not in held or split not in SPLITS:
            raise DataError(
                f"no {split!r} shards as {format!r}",
                self.folder / "index.json",
                f"one of {', '.join(SPLITS)} as {' or '.join(held)}",
                do=f"let the recipe's formats hold {format!r} and run make features",
            )
        return tuple(s for s in self.entries if (s.split, s.format) == (split, format))

    def examples(self, split: str) -> int:
        """How many examples the split has; every format holds the same ones."""
        return sum(shard.examples for shard in self.shards(split, self.entries[0].format))

    def held(self, shard: Shard) -> tuple[Field, ...]:
        """The fields of a shard: noise tracks have their own."""
        return self.noise_fields if shard in self.noise else self.fields

    def path(self, shard: Shard) -> Path:
        """Where the shard lies; refused when that is not in the index's folder."""
        pure = PurePosixPath(shard.path)
        plain = str(pure) == shard.path and not pure.is_absolute() and ".." not in pure.parts
        if not plain or re.search(r"[\0\\]", shard.path):
            raise DataError("a path out of the folder", self.folder, "a plain name", shard.path)
        path = self.folder / shard.path
        if not path.resolve().is_relative_to(self.folder):
            raise DataError("a link out of the folder", path, self.folder, path.resolve())
        return path


def load_index(path: str | Path) -> Index:
    """The index of a recipe, given by its file or its folder."""
    path = Path(path)
    path = path / "index.json" if path.is_dir() else path
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(data, dict) or data.get("schema") != SCHEMA:
            got = data.get("schema") if isinstance(data, dict) else type(data).__name__
            raise DataError("an index of another schema", path, SCHEMA, got)
        if data.pop("seal", None) != _seal(data):
            raise DataError("a changed index (its content does not match its seal)", path)
        data["folder"] = str(path.parent.resolve())
        del data["schema"]
        index = _convert(data, Index, "index")
        _check_agreement(index)
    except FileNotFoundError:
        raise DataError("no index", path, do="run make features first") from None
    except (OSError, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise DataError("not a valid index", path, got=error) from error
    _check_files(index)
    return index


def load_indexes(artifacts: Path, recipes: Iterable[str]) -> list[Index]:
    """Those of several recipes, by name."""
    return [load_index(artifacts / name) for name in recipes]


def _seal(data: Mapping[str, Any]) -> str:
    """sha256 of the index without its seal, in JSON's plainest form."""
    text = json.dumps(data, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode() + b"\n").hexdigest()


def _convert(data: Any, kind: Any, place: str) -> Any:
    """JSON data as the type ``kind``; a ValueError names the place of what does not fit."""
    if kind is Any:
        return data
    if is_dataclass(kind):
        hints = get_type_hints(kind)
        keys = {f.metadata.get("key", f.name): f.name for f in fields(kind)}
        if not isinstance(data, dict) or set(data) != set(keys):
            got = sorted(data) if isinstance(data, dict) else f"{data!r:.80}"
            raise ValueError(f"{place} must have the keys {sorted(keys)}, not {got}")
        values = {n: _convert(data[k], hints[n], f"{place}.{k}") for k, n in keys.items()}
        return kind(**values)  # type: ignore[operator]
    if get_origin(kind) is tuple and type(data) is list:
        item = get_args(kind)[0]
        return tuple(_convert(value, item, f"{place}[{i}]") for i, value in enumerate(data))
    if get_origin(kind) is Mapping and type(data) is dict:
        return {
            key: _convert(value, get_args(kind)[1], f"{place}.{key}") for key, value in data.items()
        }
    accepted = {float: (int, float), Path: (str,)}.get(kind, (kind,))
    if type(data) not in accepted:
        raise ValueError(f"{place} must be {getattr(kind, '__name__', kind)}, not {data!r:.80}")
    return kind(data)


def _check_agreement(index: Index) -> None:
    """Names stand once, both formats hold as many examples, stock TensorFlow can parse them."""
    names = [field.name for field in index.fields]
    paths = [shard.path for shard in (*index.entries, *index.noise)]
    twice = [name for name, count in Counter(names + paths).items() if count > 1]
    if twice or not index.fields or not index.entries:
        raise ValueError(f"fields and shards must stand there once each; twice: {twice}")
    if not set(index.statistics) <= set(names):
        raise ValueError(f"statistics of unknown fields: {sorted(index.statistics)}")
    formats = {shard.format for shard in index.entries}
    for split in SPLITS:
        totals = {sum(s.examples for s in index.shards(split, held)) for held in formats}
        if len(totals) > 1:
            raise ValueError(f"{split}: the formats hold unequal numbers of examples {totals}")
    stored = {f.name: {"dtype": _STORED[f.numpy.kind], "shape": [*f.shape]} for f in index.fields}
    found = index.feature_description
    if "tfrecord" in formats and (
        set(found) != set(stored)
        or any({**found[name], **stored[name]} != found[name] for name in stored)
    ):
        raise ValueError(f"feature_description must hold {stored}")


def _check_files(index: Index) -> None:
    """Every shard is there with its size, and no other file is named like one."""
    listed = {}
    for shard in (*index.entries, *index.noise):
        path = index.path(shard)
        listed[path] = shard
        if not path.is_file():
            raise DataError("a shard is missing", path, f"{shard.bytes} bytes")
        if path.stat().st_size != shard.bytes:
            raise DataError("a shard has another size", path, shard.bytes, path.stat().st_size)
    suffixes = {path.suffix for path in listed}
    for path in sorted(index.folder.rglob("*")):
        if path.suffix in suffixes and path not in listed:
            raise DataError("a shard in no index", path, do="run make features, or move it away")
