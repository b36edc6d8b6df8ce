"""TFRecord shards against TensorFlow's own reader and writer, and damaged files refused.

Reads and writes only in pytest's own folders.
"""

import json
import struct
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import MelmillError
from pipeline.formats import tfrecord, varints
from pipeline.formats.fields import Field
from tests.test_hdf5 import FIELDS, arrays, assert_same

ONE = (Field("label", "int64", (), "", ()),)


@pytest.fixture(scope="module")
def tf():
    return pytest.importorskip("tensorflow")


def to_example(tf, row: dict[str, np.ndarray]):
    """One row, by TensorFlow's own classes."""
    features = {}
    for name, value in row.items():
        values = np.asarray(value).reshape(-1).tolist()
        if value.dtype.kind == "S":
            kind = {"bytes_list": tf.train.BytesList(value=values)}
        elif value.dtype.kind == "f":
            kind = {"float_list": tf.train.FloatList(value=values)}
        else:
            kind = {"int64_list": tf.train.Int64List(value=values)}
        features[name] = tf.train.Feature(**kind)
    return tf.train.Example(features=tf.train.Features(feature=features))


def rows(data: dict[str, np.ndarray]) -> list[dict[str, np.ndarray]]:
    return [{k: v[i] for k, v in data.items()} for i in range(len(data["mel"]))]


@pytest.mark.parametrize("count", [1, 3, 257])
def test_stock_tensorflow_reads_the_same_bits(tf, tmp_path: Path, count: int) -> None:
    path = tmp_path / "a.tfrecord"
    path.write_bytes(tfrecord.encode(FIELDS, arrays(count)))
    told = json.loads(json.dumps(tfrecord.feature_description(FIELDS)))
    description = {k: tf.io.FixedLenFeature(d["shape"], d["dtype"]) for k, d in told.items()}
    records = list(tf.data.TFRecordDataset(str(path)).as_numpy_iterator())
    parsed = tf.io.parse_example(records, description)
    found = {
        k: v.numpy().astype("S4") if d["cast"] == "string" else tf.cast(v, d["cast"]).numpy()
        for (k, d), v in zip(told.items(), parsed.values(), strict=True)
        for v in [parsed[k]]
    }
    assert_same(found, arrays(count))


def test_bytes_are_those_of_tensorflows_deterministic_writer(tf, tmp_path: Path) -> None:
    data, path = arrays(20), tmp_path / "a.tfrecord"
    with tf.io.TFRecordWriter(str(path)) as writer:
        for row in rows(data):
            writer.write(to_example(tf, row).SerializeToString(deterministic=True))
    assert path.read_bytes() == tfrecord.encode(FIELDS, data)
    assert_same(tfrecord.decode(path, FIELDS, 20), data)


def test_tensorflows_writer_in_any_order_of_keys(tf, tmp_path: Path) -> None:
    data, path = arrays(5), tmp_path / "a.tfrecord"
    with tf.io.TFRecordWriter(str(path)) as writer:
        for row in rows(dict(sorted(data.items(), reverse=True))):
            writer.write(to_example(tf, row).SerializeToString())
    assert_same(tfrecord.decode(path, FIELDS, 5), data)


@pytest.mark.parametrize("size", [1, 15, 16, 17, 31, 32, 33, 4095, 4096, 4097, 600_000])
def test_lengths_around_the_steps_of_a_varint(tf, size: int) -> None:
    field = Field("x", "float32", (size,), "", ("samples",))
    data = {"x": np.arange(2 * size, dtype=np.float32).reshape(2, size)}
    stored = tfrecord.encode([field], data)
    assert_same(tfrecord.decode(stored, [field]), data)
    example = to_example(tf, {"x": data["x"][0]}).SerializeToString(deterministic=True)
    assert stored[12 : 12 + len(example)] == example


@pytest.mark.parametrize("dtype", ["uint8", "int32", "int64"])
def test_integers_at_every_width(tf, dtype: str) -> None:
    info = np.iinfo(dtype)
    edges = {info.min, info.max, 0, *(2**k + d for k in range(64) for d in (-1, 0, 1))}
    edges |= {-edge for edge in edges}
    values = np.array(sorted(e for e in edges if info.min <= e <= info.max), dtype=dtype)
    data = {"x": np.stack([values, values[::-1]])}
    field = Field("x", dtype, (len(values),), "", ("values",))
    stored = tfrecord.encode([field], data)
    assert_same(tfrecord.decode(stored, [field]), data)
    example = to_example(tf, {"x": values}).SerializeToString(deterministic=True)
    assert stored[12 : 12 + len(example)] == example


def test_more_integers_than_one_step_codes() -> None:
    field = Field("x", "int32", (3001,), "", ("values",))
    values = np.random.default_rng(1).integers(-300, 300, (25, 3001), dtype=np.int32)
    values[:22] = np.abs(values[:22])  # steps of two bytes a value, then one of ten
    assert values.size > 2 * varints.BLOCK
    data = {"x": values}
    assert_same(tfrecord.decode(tfrecord.encode([field], data), [field]), data)


def test_equal_input_gives_equal_bytes() -> None:
    again = dict(reversed(arrays().items()))
    assert tfrecord.encode(FIELDS, arrays()) == tfrecord.encode(FIELDS[::-1], again)


def test_every_cut_of_three_records_is_refused() -> None:
    data = tfrecord.encode(FIELDS, arrays(3))
    for size in range(len(data)):
        with pytest.raises(MelmillError, match="Run make features"):
            tfrecord.decode(data[:size], FIELDS, 3)


def test_every_flipped_bit_is_refused() -> None:
    data = tfrecord.encode(FIELDS, arrays(3))
    for bit in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(MelmillError, match="checksum"):
            tfrecord.decode(bytes(damaged), FIELDS)


def frame(data: bytes, length: int | None = None) -> bytes:
    head = struct.pack("<Q", len(data) if length is None else length)
    return head + tfrecord._checksum(head) + data + tfrecord._checksum(data)


@pytest.mark.parametrize("length", [2**60, 2**63, 2**64 - 1, 2**64 - 16, 5])
def test_forged_length_with_right_checksum_is_refused(length: int) -> None:
    with pytest.raises(MelmillError, match="record 0 at byte 0: .* bytes long, but the file ends"):
        tfrecord.decode(frame(b"abcd", length), FIELDS)


LABEL = b"\x0a\x05label\x12"
GOOD = LABEL + b"\x05\x1a\x03\x0a\x01\x07"


def message(*entries: bytes) -> bytes:
    body = b"".join(b"\x0a" + bytes([len(entry)]) + entry for entry in entries)
    return b"\x0a" + bytes([len(body)]) + body


def test_hand_made_example_is_read() -> None:
    found = tfrecord.decode(frame(message(GOOD)), ONE)
    assert_same(found, {"label": np.array([7], dtype=np.int64)})


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "record 0"),
        (message(), "other keys or types"),
        (message(GOOD, GOOD), "twice"),
        (message(GOOD, GOOD.replace(b"label", b"lebal")), "other keys or types"),
        (message(LABEL + b"\x06\x12\x04\x0a\x02\x01\x07"), "other keys or types"),  # float_list
        (message(LABEL + b"\x06\x1a\x04\x0a\x02\x01\x07"), "has not 1 values"),  # two values
        (message(LABEL + b"\x04\x1a\x02\x0a\x00"), "has not 1 values"),  # none
        (message(LABEL + b"\x05\x1a\x03\x0a\x01\x87"), "has not 1 values"),  # unfinished varint
        (message(LABEL + b"\x04\x1a\x02\x08\x07"), "tag 8"),  # unpacked
        (message(LABEL + b"\x0f\x1a\x0d\x0a\x0b" + b"\xff" * 10 + b"\x01"), "64 bits"),
        (message(LABEL + b"\x0e\x1a\x0c\x0a\x0a" + b"\xff" * 9 + b"\x02"), "64 bits"),
        (message(GOOD) + b"\x0a", "bad length"),
        (message(GOOD)[:-1], "do not fit"),
        (b"\x0a" + b"\xff" * 9 + b"\x01", "bad length|do not fit"),
        (message(b"\x0a\x05\xff\xff\xff\xff\xff\x12\x05\x1a\x03\x0a\x01\x07"), "decode"),
    ],
)
def test_other_messages_are_refused(data: bytes, text: str) -> None:
    with pytest.raises(MelmillError, match=f"{text}.*Run make features"):
        tfrecord.decode(frame(data), ONE)


@pytest.mark.parametrize(
    ("stored", "read"),
    [
        (Field("x", "int32", (2,), "", ("a",)), Field("x", "uint8", (2,), "", ("a",))),
        (Field("x", "int32", (2,), "", ("a",)), Field("x", "float32", (2,), "", ("a",))),
        (Field("x", "float32", (2,), "", ("a",)), Field("x", "float16", (2,), "", ("a",))),
        (Field("x", "float32", (2,), "", ("a",)), Field("x", "float32", (3,), "", ("a",))),
        (Field("x", "int32", (2,), "", ("a",)), Field("x", "int32", (1,), "", ("a",))),
        (Field("x", "bytes4", (2,), "", ("a",)), Field("x", "bytes3", (2,), "", ("a",))),
        (Field("x", "bytes4", (2,), "", ("a",)), Field("x", "bytes4", (3,), "", ("a",))),
    ],
)
def test_other_types_and_shapes_are_refused(stored: Field, read: Field) -> None:
    values = {"S": [[b"abcd", b""]], "f": [[1e-20, 3.0]], "i": [[300, -1]]}[stored.numpy.kind]
    data = tfrecord.encode([stored], {"x": np.array(values, dtype=stored.numpy)})
    with pytest.raises(MelmillError, match="'x'|other keys or types"):
        tfrecord.decode(data, [read])


def test_values_never_slip_into_the_next_record() -> None:
    field = Field("label", "int64", (2,), "", ("a",))
    three, one = (LABEL + bytes([4 + n, 26, 2 + n, 10, n, *range(n)]) for n in (3, 1))
    with pytest.raises(MelmillError, match="has not 2 values in every record"):
        tfrecord.decode(frame(message(three)) + frame(message(one)), [field])


def test_stored_nan_is_refused(tf) -> None:
    field = Field("x", "float32", (2,), "", ("a",))
    row = {"x": np.array([0, np.nan], np.float32)}
    data = frame(to_example(tf, row).SerializeToString())
    with pytest.raises(MelmillError, match=r"not finite at index \(0, 1\)"):
        tfrecord.decode(data, [field])
