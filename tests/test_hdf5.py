"""HDF5 shards: what h5py reads in them, equal bytes, and every kind of crafted file refused.

Reads and writes only in pytest's own folders.
"""

import io
import struct
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from pipeline.errors import MelmillError
from pipeline.formats import hdf5
from pipeline.formats.fields import Field

FIELDS = (
    Field("mel", "float32", (3, 2), "power", ("frames", "mels")),
    Field("half", "float16", (4,), "", ("bins",)),
    Field("active", "uint8", (2,), "", ("speakers",)),
    Field("label", "int32", (), "", ()),
    Field("frame", "int64", (), "", ()),
    Field("id", "bytes4", (), "", ()),
)
MEL = FIELDS[:1]


def arrays(count: int = 3, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        "mel": rng.standard_normal((count, 3, 2), dtype=np.float32),
        "half": rng.standard_normal((count, 4)).astype(np.float16),
        "active": rng.integers(0, 256, (count, 2), dtype=np.uint8),
        "label": rng.integers(-(2**31), 2**31, count, dtype=np.int32),
        "frame": rng.integers(-(2**63), 2**63 - 1, count, dtype=np.int64),
        "id": np.array([b"", b"ab", b"abcd"] * count, dtype="S4")[:count],
    }


def assert_same(found: dict[str, np.ndarray], wanted: dict[str, np.ndarray]) -> None:
    assert set(found) == set(wanted)
    for name, array in wanted.items():
        assert found[name].dtype == array.dtype
        assert found[name].shape == array.shape
        assert found[name].tobytes() == array.tobytes()


def test_h5py_reads_what_was_stored(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    path.write_bytes(hdf5.encode(FIELDS, arrays(), {"key": "abc", "name": "é", "empty": ""}))
    with h5py.File(path) as file:
        assert_same({name: file[name][()] for name in file}, arrays())
        assert dict(file.attrs) == {"key": "abc", "name": "é", "empty": ""}
        assert all(file[name].chunks is None for name in file)


def test_no_time_of_day_is_stored() -> None:
    data = hdf5.encode(FIELDS, arrays(), {})
    assert data[8] == 0  # the oldest superblock, whose groups have no times
    with h5py.File(io.BytesIO(data)) as file:
        assert [h5py.h5g.get_objinfo(file[name].id).mtime for name in file] == [0] * len(FIELDS)


@pytest.mark.parametrize("count", [1, 2, 1000])
def test_round_trip(tmp_path: Path, count: int) -> None:
    data = hdf5.encode(FIELDS, arrays(count), {})
    (tmp_path / "a.h5").write_bytes(data)
    assert_same(hdf5.decode(data, FIELDS), arrays(count))
    assert_same(hdf5.decode(tmp_path / "a.h5", FIELDS), arrays(count))


@pytest.mark.parametrize(("a", "b"), [(0, 0), (0, 1), (1, 3), (9, 10), (0, 10), (10, 10)])
def test_rows(a: int, b: int) -> None:
    data = hdf5.encode(FIELDS, arrays(10), {})
    assert_same(
        hdf5.read_rows(data, FIELDS, a, b), {name: v[a:b] for name, v in arrays(10).items()}
    )


@pytest.mark.parametrize(("a", "b"), [(-1, 1), (0, 11), (3, 2)])
def test_rows_outside_are_refused(a: int, b: int) -> None:
    with pytest.raises(MelmillError, match="no such rows; expected 10"):
        hdf5.read_rows(hdf5.encode(FIELDS, arrays(10), {}), FIELDS, a, b)


def test_equal_input_gives_equal_bytes_elsewhere_and_in_any_order() -> None:
    first = hdf5.encode(FIELDS, arrays(), {"a": "1", "b": "2"})
    code = (
        "import sys; import numpy as np; junk = [np.full(2048, 255, 'u1') for _ in range(5000)]; "
        "del junk; import tests.test_hdf5 as t; sys.stdout.buffer.write(t.hdf5.encode("
        "t.FIELDS[::-1], dict(reversed(t.arrays().items())), {'b': '2', 'a': '1'}))"
    )
    root = Path(__file__).parent.parent
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, check=True)
    assert done.stdout == first


def test_strided_arrays_are_stored_by_value() -> None:
    wide = {"mel": np.arange(36, dtype=np.float32).reshape(3, 6, 2)[:, ::2]}
    assert_same(hdf5.decode(hdf5.encode(MEL, wide, {}), MEL), wide)


def test_every_cut_is_refused() -> None:
    data = hdf5.encode(MEL, {"mel": arrays()["mel"]}, {})
    for size in range(len(data)):
        with pytest.raises(MelmillError, match="Run make features"):
            hdf5.decode(data[:size], MEL)


def _links(kind: str, folder: Path, file: h5py.File) -> None:
    good = np.zeros((3, 3, 2), dtype=np.float32)
    other = folder / "other.h5"
    with h5py.File(other, "w") as target:
        target["mel"] = good
    if kind == "soft":
        file["real"] = good
        file["mel"] = h5py.SoftLink("/real")
    elif kind == "only soft":
        file["mel"] = h5py.SoftLink("/mel")
    elif kind == "external link":
        file["mel"] = h5py.ExternalLink(str(other), "/mel")
    elif kind == "virtual":
        layout = h5py.VirtualLayout((3, 3, 2), "f4")
        layout[:] = h5py.VirtualSource(str(other), "mel", (3, 3, 2))
        file.create_virtual_dataset("mel", layout)
    elif kind == "external storage":
        (folder / "secret").write_bytes(bytes(72))
        stored = [(str(folder / "secret"), 0, 72)]
        file.create_dataset("mel", (3, 3, 2), "f4", external=stored)
    elif kind == "group":
        file.create_group("mel")
    elif kind == "extra":
        file["mel"], file["more"] = good, good


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("soft", "other datasets"), ("only soft", "a link"), ("external link", "a link"),
        ("virtual", "not one plain array"), ("external storage", "not one plain array"),
        ("group", "no dataset"), ("extra", "other datasets"), ("nothing", "other datasets"),
    ],
)  # fmt: skip
def test_what_points_elsewhere_is_refused(tmp_path: Path, kind: str, message: str) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        _links(kind, tmp_path, file)
    with pytest.raises(MelmillError, match=rf"a\.h5.*{message}.*Run make features"):
        hdf5.decode(path, MEL)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"data": np.zeros((3, 3, 2), "f8")}, "wrong type; expected float32; got float64"),
        ({"data": np.zeros((3, 3, 2), ">f4")}, "wrong type"),
        ({"data": np.zeros((3, 2, 3), "f4")}, "wrong shape"),
        ({"data": np.zeros((3, 6), "f4")}, "wrong shape"),
        ({"data": np.float32(1)}, "wrong shape"),
        ({"data": h5py.Empty("f4")}, "not one plain array|wrong shape"),
        ({"data": np.zeros((3, 3, 2), "f4"), "chunks": (1, 3, 2)}, "not one plain array"),
        ({"data": np.zeros((3, 3, 2), "f4"), "fletcher32": True}, "not one plain array"),
        ({"shape": (2**40, 3, 2), "dtype": "f4"}, "declares more bytes than it has"),
    ],
)  # fmt: skip
def test_other_layouts_are_refused(options: dict, message: str) -> None:
    made = io.BytesIO()
    with h5py.File(made, "w") as file:
        file.create_dataset("mel", **options)
    with pytest.raises(MelmillError, match=message):
        hdf5.decode(made.getvalue(), MEL)


def test_two_names_for_one_dataset_do_not_count_twice() -> None:
    fields = tuple(Field(name, "uint8", (5000,), "", ("bytes",)) for name in ("a", "b"))
    made = io.BytesIO()
    with h5py.File(made, "w") as file:
        file["a"] = np.zeros((2, 5000), np.uint8)
        file["b"] = file["a"]
    with pytest.raises(MelmillError, match="declares more bytes"):
        hdf5.decode(made.getvalue(), fields)


def test_data_outside_the_file_are_refused() -> None:
    data = bytes(hdf5.encode(MEL, {"mel": arrays(3)["mel"]}, {}))
    with h5py.File(io.BytesIO(data)) as file:
        offset = struct.pack("<Q", file["mel"].id.get_offset())
    assert data.count(offset) == 1
    with pytest.raises(MelmillError, match="not a readable HDF5 file"):
        hdf5.decode(data.replace(offset, struct.pack("<Q", len(data) - 8)), MEL)


def test_unequal_lengths_are_refused() -> None:
    made = io.BytesIO()
    with h5py.File(made, "w") as file:
        for i, field in enumerate(FIELDS):
            file[field.name] = np.zeros((3 + i % 2, *field.shape), field.numpy)
    with pytest.raises(MelmillError, match="unequal length"):
        hdf5.decode(made.getvalue(), FIELDS)


def test_bad_input_is_never_stored() -> None:
    broken = arrays()
    broken["mel"][1, 2, 0] = np.nan
    with pytest.raises(MelmillError, match=r"'mel': not finite at index \(1, 2, 0\)"):
        hdf5.encode(FIELDS, broken, {})
    with pytest.raises(MelmillError, match="attribute 'a'"):
        hdf5.encode(FIELDS, arrays(), {"a": "b\0c"})


@pytest.mark.parametrize("content", [b"", b"no HDF5", bytes(4096)])
def test_not_hdf5_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.h5"
    path.write_bytes(content)
    with pytest.raises(MelmillError, match=r"a\.h5: not a readable HDF5 file"):
        hdf5.decode(path, FIELDS)
    with pytest.raises(MelmillError, match=r"b\.h5: not a readable HDF5 file"):
        hdf5.decode(tmp_path / "b.h5", FIELDS)
