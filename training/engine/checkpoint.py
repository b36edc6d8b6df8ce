"""Checkpoints: all state of a training run in one file, hashed, without pickle.

Reads and writes ``checkpoints/step-<step>[-best].ckpt``: magic, length of the head, head, arrays,
sha256 of all before it. The head is JSON: the state, with a place in the file for each array.
Does: keeps the two newest and the best; when the newest is damaged, says so and takes the one
before. Knows no framework: learners give and take NumPy arrays.
"""

import contextlib
import hashlib
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from training import durable
from training.errors import Damaged, RunError
from training.run import say

MAGIC = b"melmill1"
HASH = 32  # bytes of a sha256
KEPT = 2  # newest ones
ASIDE = ".aside"  # ends the name of one that is damaged or was gone back behind
KINDS = {
    name: np.dtype(name).newbyteorder("<")
    for name in ("float16", "float32", "float64", "int8", "int32", "int64")
    + ("uint8", "uint32", "uint64", "bool")
}


def pack(state: Any) -> Iterator[bytes | memoryview]:
    """The file's bytes, part by part."""
    arrays: list[np.ndarray] = []
    head = json.dumps({"state": _plain(state, arrays)}).encode()
    result = hashlib.sha256()
    for part in (MAGIC + len(head).to_bytes(8, "little") + head, *map(_view, arrays)):
        result.update(part)
        yield part
    yield result.digest()


def unpack(data: bytes | bytearray, where: object = "") -> Any:
    """The state; refused unless every byte is as it was written."""
    view = memoryview(data if isinstance(data, bytearray) else bytearray(data))
    held = len(view) - HASH
    if held < 16 or view[: len(MAGIC)] != MAGIC:
        raise Damaged("not a checkpoint, or cut short", where)
    if hashlib.sha256(view[:held]).digest() != bytes(view[held:]):
        raise Damaged("damaged checkpoint (its bytes do not match their hash)", where)
    begin = 16 + int.from_bytes(view[8:16], "little")
    try:
        return _state(json.loads(bytes(view[16:begin]))["state"], view[begin:held])
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        # Whoever wrote it gave it a hash that fits.
        raise Damaged(f"no checkpoint of ours ({error})", where) from error


def _plain(value: Any, arrays: list[np.ndarray]) -> Any:
    """`value` as JSON that can be undone exactly; arrays go into the list."""
    if isinstance(value, np.ndarray):
        kind = value.dtype.name
        if kind not in KINDS:
            raise TypeError(f"a checkpoint cannot hold {value.dtype}")
        start = sum(array.nbytes for array in arrays)
        arrays.append(value)
        return {"tensor": [kind, list(value.shape), start]}
    if isinstance(value, dict):  # keys may be numbers, which JSON would turn into text
        return {"dict": [[_plain(k, arrays), _plain(v, arrays)] for k, v in value.items()]}
    if isinstance(value, (list, tuple)):
        return {type(value).__name__: [_plain(item, arrays) for item in value]}
    if value is None or type(value) in (bool, int, float, str):
        return value
    raise TypeError(f"a checkpoint cannot hold {type(value).__name__}")


def _state(value: Any, data: memoryview) -> Any:
    if not isinstance(value, dict):
        return value
    ((kind, inner),) = value.items()
    if kind == "tensor":
        name, shape, start = inner
        count = math.prod(shape)
        return (
            np.frombuffer(data, KINDS[name], count, start).reshape(shape)
            if count
            else (np.empty(shape, KINDS[name]))
        )
    items = [_state(item, data) for pair in inner for item in (pair if kind == "dict" else [pair])]
    if kind == "dict":
        return dict(zip(items[::2], items[1::2], strict=True))
    return tuple(items) if kind == "tuple" else items


def _view(array: np.ndarray) -> bytes | memoryview:
    plain = np.ascontiguousarray(array, KINDS[array.dtype.name])
    return plain.reshape(-1).view(np.uint8).data if plain.size else b""


def anew(folder: Path) -> str:
    """What is left to do where no checkpoint is."""
    train = f"give the command that began it (make train-{folder.parent.name} ...) again"
    return f"remove {folder} and {train}, or name a new run with RUN="


def used(folder: Path, do: str = "") -> tuple[Path, Any]:
    """The checkpoint that scored best, and its state. Where it cannot be used, the error says what
    to do: `do`, or what training can still do."""
    held = Checkpoints(folder)
    path = held.best(do)
    try:
        return path, load(path)
    except RunError as error:
        step = held.before(step_of(path))
        back = f"train from the one before it: make resume RUN={folder.name} CHECKPOINT={step}"
        do = do or (back if step is not None else anew(folder))
        raise RunError(f"has no weights to use ({error})", folder, do=do) from error


def load(path: Path) -> Any:
    """The state in one file."""
    try:
        data = bytearray(path.read_bytes())
    except FileNotFoundError:
        raise RunError("no such checkpoint", path) from None
    return unpack(data, path)


class Checkpoints:
    """The checkpoints of one run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "checkpoints"

    def save(self, step: int, state: Any, *, best: bool) -> Path:
        """Keep `state`; `best` says that no earlier one scored as well."""
        self.folder.mkdir(exist_ok=True)
        names = [self.folder / f"step-{step:09d}{end}.ckpt" for end in ("", "-best")]
        path = names[best]
        durable.write(path, pack(state))
        names[not best].unlink(missing_ok=True)  # saved before it was scored
        self._prune()
        return path

    def all(self) -> list[Path]:
        """Oldest first."""
        return sorted(self.folder.glob("step-*.ckpt"), key=lambda p: (step_of(p), _best(p)))

    def newest(self) -> tuple[Path, Any] | None:
        """The newest one that is whole, and its state. Damaged ones are set aside, loudly."""
        paths = self.all()
        durable.sweep(self.folder)
        for number, path in reversed(list(enumerate(paths))):
            try:
                return path, load(path)
            except Damaged as err:
                aside = path.rename(path.with_name(path.name + ASIDE))
                then = ". Going back to the checkpoint before it" if number else ""
                say(f"WARNING: {err}; it is kept as {aside.name}{then}")
        if lost := self._aside():  # never begin anew unasked
            raise self._lost(lost)
        return None

    def _aside(self) -> list[Path]:
        return sorted(self.folder.glob(f"*{ASIDE}"))

    def _lost(self, aside: list[Path], do: str = "") -> RunError:
        what, got = "no checkpoint of this run is whole", ", ".join(path.name for path in aside)
        return RunError(what, self.folder, got=got, do=do or anew(self.folder.parent))

    def go_back(self, step: int) -> None:
        """Set aside what is newer than `step`, so that the run goes on from there."""
        if step not in map(step_of, self.all()):
            steps = ", ".join(str(step_of(path)) for path in self.all())
            raise RunError("no such checkpoint", self.folder, f"one of {steps}", step)
        for path in self.all():
            if step_of(path) > step:
                say(f"{path}: set aside as {path.rename(path.with_name(path.name + ASIDE)).name}")

    def best(self, do: str = "") -> Path:
        """The one that scored best; `do` is what to do where there is none, unless training is."""
        found = [path for path in self.all() if _best(path)]
        if found:
            return found[-1]
        if not self.all() and (aside := self._aside()):
            raise self._lost(aside, do)
        do = do or f"go on with make resume RUN={self.folder.parent.name}"
        raise RunError("no checkpoint was scored yet", self.folder, do=do)

    def before(self, step: int) -> int | None:
        """The newest step below this one of which a checkpoint is whole."""
        for path in reversed(self.all()):
            with contextlib.suppress(RunError):
                if step_of(path) < step and load(path):
                    return step_of(path)
        return None

    def _prune(self) -> None:
        """Keep the newest, and of each of those the best at its time, should one be damaged."""
        paths = self.all()
        keep = set(paths[-KEPT:])
        for number in range(max(0, len(paths) - KEPT), len(paths)):
            keep |= set([p for p in paths[: number + 1] if _best(p)][-1:])
        for path in (*paths, *self.folder.glob(f"*{ASIDE}")):
            if path not in keep:
                durable.fault_point("unlink")
                path.unlink()


def best_hash(folder: Path) -> str:
    """Of a run's best checkpoint: what another run that starts or learns from it names."""
    return Checkpoints(folder).best().read_bytes()[-HASH:].hex()


def _best(path: Path) -> bool:
    return path.stem.endswith("-best")


def step_of(path: Path) -> int:
    """The number of steps a checkpoint was made after."""
    found = re.fullmatch(r"step-(\d+)(-best)?\.ckpt", path.name)
    if not found:
        raise RunError("not named like a checkpoint", path, "step-<number>.ckpt")
    return int(found[1])


def weights(state: Any) -> dict[str, np.ndarray]:
    """What to use of a model: its average where one was kept."""
    found: dict[str, np.ndarray] = state["ema"] or state["model"]
    return found
