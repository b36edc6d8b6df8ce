"""`python -m tests.bench.tf_once INDEX TIMES EPOCHS`: what streaming a corpus costs in memory.

Reads: an index of log-mel windows, each of its shards so many times over. Does: streams whole
epochs in a process of its own, a small part shuffled at once. Writes: on stdout a line of JSON,
bytes resident before the first epoch and after each.
"""

import dataclasses
import json
import sys

import psutil

from training.data import tf_data
from training.data.index import load_index

BATCH = 32
SHUFFLED = 16 << 20  # bytes


def memory(path: str, times: int, epochs: int) -> list[int]:
    index = load_index(path)
    index = dataclasses.replace(index, entries=index.entries * times)
    tf_data.BUFFER = SHUFFLED
    examples = tf_data.Examples(index, ["train"], BATCH, held=False)
    found = [psutil.Process().memory_info().rss]
    for epoch in range(epochs):
        for _ in examples.epoch(epoch):
            pass
        found.append(psutil.Process().memory_info().rss)
    return found


if __name__ == "__main__":
    print(json.dumps(memory(sys.argv[1], *map(int, sys.argv[2:]))))
