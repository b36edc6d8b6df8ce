"""The shards of a recipe, read for a page.

Reads: index.json and the shards it names, each compared with its sha256 before a value is taken;
one format of each, since all hold the same. Does: hands out the small fields of a shard (labels,
mixtures) without its sound and spectra, or single examples whole. Writes nothing.
"""

import functools
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from pipeline.disk import stamps, store
from pipeline.errors import MelmillError
from pipeline.formats import hdf5, tfrecord
from pipeline.formats.fields import Field
from pipeline.recipe import Recipe
from pipeline.typed import typed

Arrays = dict[str, np.ndarray]


def recipe_of(index: Mapping[str, Any], where: Path) -> Recipe:
    """The recipe that an index was made with."""
    table = {key: value for key, value in index["recipe"].items() if value is not None}
    recipe: Recipe = typed(Recipe, table, "", where)
    return recipe


@dataclass
class Shelf:
    """A recipe's folder, and what turned out to be wrong in it."""

    folder: Path
    index: dict[str, Any]
    recipe: Recipe
    faults: list[str] = field(default_factory=list)

    @classmethod
    def opened(cls, folder: Path) -> "Shelf":
        where = folder / "index.json"
        try:
            index = store.load_sealed(where)
        except FileNotFoundError as err:
            do = f"run `make features RECIPE={folder.name}` first"
            raise MelmillError("no shards of this recipe", where=where, do=do) from err
        return cls(folder, index, recipe_of(index, where))

    @functools.cached_property
    def fields(self) -> list[Field]:
        return [Field.from_json(f) for f in self.index["fields"]]

    def files(self) -> list[dict[str, Any]]:
        """One file of each shard: HDF5, of which parts can be read, where there is one."""
        found: dict[str, dict[str, Any]] = {}
        for file in self.index["shards"]:
            stem = Path(file["path"]).stem
            if stem not in found or file["format"] == "hdf5":
                found[stem] = file
        return list(found.values())

    def whole(self, file: Mapping[str, Any]) -> Path:
        """The path of a file that is what its index says."""
        path = store.inside(self.folder, file["path"])
        if not path.is_file():
            raise MelmillError("missing shard", where=path, do="run `make features`")
        size, sha = path.stat().st_size, stamps.sha256_file(path)
        if (size, sha) != (file["bytes"], file["sha256"]):
            raise MelmillError(
                "damaged shard",
                where=path,
                expected=f"{file['bytes']} bytes, sha256 {file['sha256'][:12]}",
                got=f"{size} bytes, sha256 {sha[:12]}",
                do="run `make features`: it makes just this shard again",
            )
        return path

    def small(self) -> Iterator[tuple[dict[str, Any], Arrays]]:
        """(file, its small fields) of each shard; one that is damaged is named and passed over."""
        names = [f.name for f in self.fields if not _heavy(f)]
        for file in self.files():
            try:
                yield file, _columns(self.whole(file), file, self.fields, names)
            except (MelmillError, OSError) as err:
                self.faults.append(str(err))
                yield file, {}

    def row(self, file: Mapping[str, Any], number: int) -> dict[str, Any]:
        """All of one example. The file was found whole by this run."""
        path = self.folder / file["path"]
        if file["format"] == "hdf5":
            rows: Arrays = hdf5.read_rows(path, self.fields, number, number + 1)
            return {key: value[0] for key, value in rows.items()}
        rows = tfrecord.decode(path.read_bytes(), self.fields, file["examples"])
        return {key: value[number] for key, value in rows.items()}

    def track(self, source: bytes) -> np.ndarray:
        """The noise track of that name."""
        described = [Field.from_json(f) for f in self.index["noise_fields"]]
        for file in self.index["noise"]:
            path = self._noise(file["path"])
            names = _columns(path, file, described, ["source"])["source"].tolist()
            if source in names:
                row = names.index(source)
                rows = hdf5.read_rows(path, described, row, row + 1)
                samples: np.ndarray = rows["samples"][0, : int(rows["length"][0])]
                return samples
        raise MelmillError("no such noise track", where=self.folder, got=source.decode())

    def _noise(self, name: str) -> Path:
        """A shard of noise, compared with its hash once."""
        known = self.__dict__.setdefault("_known", {})
        if name not in known:
            file = next(f for f in self.index["noise"] if f["path"] == name)
            known[name] = self.whole(file)
        found: Path = known[name]
        return found


def _heavy(f: Field) -> bool:
    """Sound, spectra and vectors: not needed to count."""
    return f.dtype == "float32" and bool(f.shape) and f.axes != ("mixture",)


def _columns(path: Path, file: Mapping[str, Any], fields: list[Field], names: list[str]) -> Arrays:
    if file["format"] != "hdf5":
        rows = tfrecord.decode(path.read_bytes(), fields, file["examples"])
        return {name: rows[name] for name in names}
    try:
        with open(path, "rb") as raw, h5py.File(raw, "r") as held:
            count = hdf5.check_layout(held, fields, os.fstat(raw.fileno()).st_size, path)
            if count != file["examples"]:
                raise MelmillError("wrong count", where=path, expected=file["examples"], got=count)
            return {name: held[name][:] for name in names}
    except (RuntimeError, ValueError, KeyError, TypeError) as err:
        raise MelmillError("not a readable HDF5 file", where=path, got=err) from err
