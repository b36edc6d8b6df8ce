"""Several views of one example, answered for together (test-time augmentation).

Reads and writes nothing. Does: as operations of a graph, one view after the other, so that no more
than one of them is ever in memory: an example as it is stored, or pieces of it from its begin to
its end, each with the vector of its own sound.
"""

from typing import Any

import keras
import tensorflow as tf

from training.graph.vector import Vector

VIEWS = (2, 10)  # how many pieces
PIECE = 0.75  # of a window, for a net that learnt from whole ones

Tensors = dict[str, Any]


def logits(net: keras.Model, batch: Tensors) -> Any:
    """(batch, classes) of the whole net, for examples as they are stored."""
    given = [batch[each.name] for each in net.inputs]
    found = net(given if len(given) > 1 else given[0], training=False)
    return found[0] if isinstance(found, list) else found


def plain(net: keras.Model, batch: Tensors) -> Any:
    """(batch, classes) probabilities for examples as they are stored."""
    return tf.nn.softmax(logits(net, batch))


class Pieces:
    """The mean of the probabilities of so many pieces, which are as long as those that the net
    learnt from; of whole examples, where it learnt from those."""

    def __init__(self, front: Vector, samples: int, count: int) -> None:
        """`samples` in a piece."""
        self.front, self.samples, self.count = front, samples, count

    def __call__(self, net: keras.Model, batch: Tensors) -> Any:
        wave = batch["wave"]
        room, steps = wave.shape[1] - self.samples, max(1, self.count - 1)

        def piece(i: Any) -> Any:
            begin = i * room // steps
            part = tf.ensure_shape(wave[:, begin : begin + self.samples], (None, self.samples))
            return plain(net, {"wave": part, "vector": self.front(part)})

        _, total = tf.while_loop(
            lambda i, _: i < self.count,
            lambda i, total: (i + 1, total + piece(i)),
            (tf.constant(1), piece(tf.constant(0))),
            parallel_iterations=1,
        )
        return total / self.count
