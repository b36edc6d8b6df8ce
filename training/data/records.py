"""Examples of TFRecord shards as tensors.

Reads: shards whose bytes were compared with the index before. Does: parses many examples in one
call, those fields alone that are asked for, each in its own type; hands out examples not parsed
yet as a tf.data.Dataset, from several shards in turns. Writes nothing.
"""

import os
import struct
from collections.abc import Sequence
from typing import BinaryIO

import numpy as np
import tensorflow as tf

from training.data.index import DataError, Field, Index, Shard

CYCLE, BLOCK = 8, 16  # shards read in turns, examples taken in a turn
READ = 256 << 10  # bytes read from a file at once
ALIGNED = 64  # bytes: where TensorFlow's memory begins
FRAME = 16  # bytes around each record: its length 8, that one's checksum 4, its own checksum 4

Tensors = dict[str, tf.Tensor]


def parsed(index: Index, fields: Sequence[Field], records: tf.Tensor) -> Tensors:
    """Serialised examples, (n,) string, by field: (n, ...). A text is a string without its zeros
    at the end."""
    told = {f.name: index.feature_description[f.name] for f in fields}
    features = {n: tf.io.FixedLenFeature(d["shape"], d["dtype"]) for n, d in told.items()}
    found = tf.io.parse_example(records, features)
    return {
        f.name: found[f.name] if f.numpy.kind == "S" else tf.cast(found[f.name], f.numpy)
        for f in fields
    }


def read(index: Index, shard: Shard, fields: Sequence[Field]) -> Tensors:
    """All examples of a shard, in the memory of the CPU."""
    with open(index.path(shard), "rb") as file, tf.device("CPU:0"):
        found = [os.pread(file.fileno(), size, at) for at, size in _places(index, shard, file)]
        try:
            return parsed(index, fields, tf.constant(found))
        except tf.errors.InvalidArgumentError as error:
            where = index.path(shard)
            raise DataError("examples of another kind", where, got=error.message) from error


def room(count: int, field: Field) -> np.ndarray:
    """A place for so many values, of numbers, where a tensor can lie too."""
    size = count * field.nbytes
    held = np.empty(size + ALIGNED, np.uint8)
    begin = -held.ctypes.data % ALIGNED
    return held[begin : begin + size].view(field.numpy).reshape(count, *field.shape)


def tensor(array: np.ndarray) -> tf.Tensor:
    """An array of `room` as a tensor in the same memory."""
    if not array.size:
        return tf.constant(array)
    return tf.experimental.dlpack.from_dlpack(array.__dlpack__())


def check_count(index: Index, shard: Shard) -> None:
    """Refuses a shard of more or fewer examples, told by the lengths of its records alone."""
    with open(index.path(shard), "rb") as file:
        _places(index, shard, file)


def _places(index: Index, shard: Shard, file: BinaryIO) -> list[tuple[int, int]]:
    """Where each record begins, and its bytes."""
    found, at = [], 0
    while at < shard.bytes and len(head := os.pread(file.fileno(), 8, at)) == 8:
        (size,) = struct.unpack("<Q", head)
        found.append((at + 12, size))
        at += size + FRAME
    if len(found) != shard.examples or at != shard.bytes:
        where = index.path(shard)
        raise DataError("wrong number of examples", where, shard.examples, len(found))
    return found


def stream(
    index: Index, shards: Sequence[tuple[Shard, int]], cycle: int, stored: bool
) -> tf.data.Dataset:
    """Each example as it is stored, and its position, counted on from where its shard begins.

    `cycle` shards are read in turns. Where what is stored is not wanted, no file is opened.
    """
    paths = [str(index.path(shard)) for shard, _ in shards]
    begins = np.array([begin for _, begin in shards], np.int64)
    ends = begins + np.array([shard.examples for shard, _ in shards], np.int64)

    def examples(path: tf.Tensor, begin: tf.Tensor, end: tf.Tensor) -> tf.data.Dataset:
        nothing = tf.data.Dataset.from_tensors("").repeat()
        found = tf.data.TFRecordDataset(path, buffer_size=READ) if stored else nothing
        return tf.data.Dataset.zip(found, tf.data.Dataset.range(begin, end))

    files = tf.data.Dataset.from_tensor_slices((tf.constant(paths, tf.string), begins, ends))
    return files.interleave(examples, cycle, BLOCK, tf.data.AUTOTUNE, deterministic=True)


def shuffled(examples: tf.data.Dataset, room: int, seeds: Sequence[int]) -> tf.data.Dataset:
    """As Dataset.shuffle, whose order would hang on TensorFlow's global seed besides ours."""
    made = tf.raw_ops.ShuffleDataset(
        input_dataset=tf.data.experimental.to_variant(examples),
        buffer_size=room,
        seed=seeds[0],
        seed2=seeds[1],
        reshuffle_each_iteration=False,
        output_types=[tf.string, tf.int64],
        output_shapes=[(), ()],
    )
    return tf.data.experimental.from_variant(made, examples.element_spec)
