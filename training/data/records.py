"""Examples of TFRecord shards as tensors.

Reads: shards whose bytes were compared with the index before. Does: parses many examples in one
call, those fields alone that are asked for, each in its own type; hands out examples not parsed
yet as a tf.data.Dataset, from several shards in turns. Writes nothing.
"""

import os
import struct
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from training.data.index import DataError, Field, Index, Shard

CYCLE, BLOCK = 8, 16  # shards read in turns, examples taken in a turn
READ = 256 << 10  # bytes read from a file at once
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
    path = index.path(shard)
    with tf.device("CPU:0"):
        try:
            whole = tf.data.TFRecordDataset(str(path), buffer_size=READ).batch(shard.examples + 1)
            records = next(iter(whole), ())
            if len(records) != shard.examples:
                raise _other_count(index, shard, len(records))
            return parsed(index, fields, records)
        except tf.errors.OpError as error:
            raise DataError("examples of another kind", path, got=error.message) from error


def check_count(index: Index, shard: Shard) -> None:
    """Refuses a shard of more or fewer examples, told by the lengths of its records alone."""
    count = at = 0
    with open(index.path(shard), "rb") as file:
        while len(head := os.pread(file.fileno(), 8, at)) == 8:
            at += struct.unpack("<Q", head)[0] + FRAME
            count += 1
    if count != shard.examples or at != shard.bytes:
        raise _other_count(index, shard, count)


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


def _other_count(index: Index, shard: Shard, got: int) -> DataError:
    where = index.path(shard)
    return DataError("wrong number of examples", where, shard.examples, got)
