"""What a shard holds: named arrays whose first axis counts the examples.

Reads and writes nothing. Does: describes one array per name (type, shape per example, unit, axes),
goes to and from plain JSON data, and checks arrays against their description before they are
stored.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from pipeline.errors import MelmillError

Arrays = Mapping[str, np.ndarray]

_NUMBERS = {"float32": "<f4", "float16": "<f2", "uint8": "|u1", "int32": "<i4", "int64": "<i8"}
_BYTES = re.compile(r"bytes([1-9][0-9]{0,3})")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
_BLOCK = 1 << 16  # values looked at in one step: stays in the CPU's cache, needs no second array


@dataclass(frozen=True)
class Field:
    """One stored array. ``shape`` and ``axes`` are those of one example; () is one value."""

    name: str
    dtype: str  # float32, float16, uint8, int32, int64 or bytes<N>
    shape: tuple[int, ...]
    unit: str
    axes: tuple[str, ...]

    def __post_init__(self) -> None:
        where = f"field {self.name!r}"
        if not _NAME.fullmatch(self.name):
            raise MelmillError("bad field name", where=where, expected="a-z, 0-9 and _, at most 63")
        if self.dtype not in _NUMBERS and not _BYTES.fullmatch(self.dtype):
            kinds = ", ".join(_NUMBERS)
            raise MelmillError(
                "unknown type", where=where, expected=f"{kinds} or bytes<N>", got=self.dtype
            )
        if any(type(n) is not int or n < 1 for n in self.shape):
            raise MelmillError("bad shape", where=where, expected="sizes >= 1", got=self.shape)
        if len(self.axes) != len(self.shape) or not all(isinstance(a, str) for a in self.axes):
            raise MelmillError("one name per axis", where=where, expected=self.shape, got=self.axes)

    @property
    def numpy(self) -> np.dtype[Any]:
        """The stored type, little-endian; bytes<N> is NumPy's S<N>."""
        found = _BYTES.fullmatch(self.dtype)
        return np.dtype(f"S{found[1]}" if found else _NUMBERS[self.dtype])

    @property
    def size(self) -> int:
        """Values in one example."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of one example."""
        return self.size * self.numpy.itemsize

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "shape": list(self.shape), "axes": list(self.axes)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Field":
        """The field that ``to_json`` described."""
        keys = ["name", "dtype", "shape", "unit", "axes"]
        text = isinstance(data, Mapping) and all(
            isinstance(data.get(key), str) for key in ("name", "dtype", "unit")
        )
        if not text or sorted(data) != sorted(keys):
            raise MelmillError("bad field description", expected=", ".join(keys), got=data)
        if not all(isinstance(data[key], list) for key in ("shape", "axes")):
            raise MelmillError("shape and axes must be lists", where=f"field {data['name']!r}")
        return cls(
            data["name"], data["dtype"], tuple(data["shape"]), data["unit"], tuple(data["axes"])
        )


def check(fields: Sequence[Field], arrays: Arrays) -> int:
    """The number of examples, when the arrays are exactly what the fields say and finite."""
    names = [field.name for field in fields]
    if not names or len(set(names)) != len(names) or set(names) != set(arrays):
        raise MelmillError("fields and arrays differ", expected=sorted(names), got=sorted(arrays))
    count = len(arrays[names[0]]) if np.ndim(arrays[names[0]]) else 0
    if count < 1:
        raise MelmillError("no examples", where=f"field {names[0]!r}", do="write no shard for none")
    for field in fields:
        array = arrays[field.name]
        where, expected = f"field {field.name!r}", (count, *field.shape)
        if array.dtype != field.numpy:
            raise MelmillError("wrong type", where=where, expected=field.dtype, got=array.dtype)
        if array.shape != expected:
            raise MelmillError("wrong shape", where=where, expected=expected, got=array.shape)
        bad = first_not_finite(array)
        if bad is not None:
            raise MelmillError(
                f"not finite at index {bad}", where=where, expected="numbers", got=array[bad]
            )
    return count


def first_not_finite(array: np.ndarray) -> tuple[int, ...] | None:
    """The index of the first NaN or infinity, None when there is none."""
    if array.dtype.kind != "f":
        return None
    flat = np.ascontiguousarray(array).reshape(-1)
    for start in range(0, flat.size, _BLOCK):
        finite = np.isfinite(flat[start : start + _BLOCK])
        if not finite.all():
            place = np.unravel_index(start + int(finite.argmin()), array.shape)
            return tuple(int(i) for i in place)
    return None
