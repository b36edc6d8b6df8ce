"""TensorFlow Lite files: made, joined one after another, and run on one thread.

Reads and writes nothing: a file is its bytes. Does: converts a function of tensors, to float or to
8-bit integers; joins files so that each part keeps the numbers it was made with; runs one.

Quantising a net together with its front end would give 8 bits to power spectra that span 100 dB, so
the parts are made apart: a float front end, an 8-bit net, a float softmax.
"""

import contextlib
import logging
import os
import re
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from training.errors import RunError

SIGNATURE = "serving_default"
# One array (batch, ...) float32 for each input, in their order -> (batch, answers) float32.
Model = Callable[..., np.ndarray]


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """What the converter and the interpreter write to stderr is shown only when they fail."""
    absl = logging.getLogger("absl")
    level = absl.level
    with tempfile.TemporaryFile() as held, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that tf.lite moves to another package
        absl.setLevel(logging.ERROR)
        sys.stderr.flush()
        kept, told = os.dup(2), b""
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            told = held.read()
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            absl.setLevel(level)
            if told:
                os.write(2, told)


def lite_bytes(
    function: Callable[..., tf.Tensor],
    inputs: Mapping[str, Sequence[int]],
    examples: Sequence[np.ndarray] | None = None,
) -> bytes:
    """`function` of float32 tensors, for one clip, as a file. `inputs` are names and shapes of a
    clip.

    With `examples`, (count, ...) of each input, all between its float inputs and output is in 8-bit
    integers, whose ranges are those that the examples reach (Jacob et al. 2018, quantisation after
    training). With none of them, `()`, weights are in 8 bits, and what is multiplied with them gets
    the range that it has in each clip.
    """
    specs = [tf.TensorSpec((1, *shape), tf.float32, name) for name, shape in inputs.items()]
    with quiet():
        traced = tf.function(function).get_concrete_function(*specs)
        converter = tf.lite.TFLiteConverter.from_concrete_functions([traced])
        if examples is not None:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if examples:
            clips = list(zip(*examples, strict=True))
            converter.representative_dataset = lambda: ([x[None] for x in one] for one in clips)
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        try:
            return bytes(converter.convert())
        except Exception as error:  # the converter raises errors of many kinds
            lacking = sorted(set(re.findall(r"'tf\.(\w+)' op", str(error))))
            got = ", ".join(lacking) or str(error).partition("\n")[0]
            do = "build the net of operations that TensorFlow Lite has"
            raise RunError("TensorFlow Lite cannot hold the net", got=got, do=do) from error


def chain(parts: Sequence[bytes], gives: str) -> bytes:
    """One file that runs the parts in turn, each on what the one before it gives.

    Its signature has the first part's inputs and the output `gives`; it is float32 at every joint.
    A later part's input of the same name as one of the file's is that one.
    """
    from tensorflow.lite.python import schema_py_generated as schema
    from tensorflow.lite.tools import flatbuffer_utils

    models = [flatbuffer_utils.read_model_from_bytearray(bytearray(part)) for part in parts]
    whole = models[0]
    (graph,) = whole.subgraphs
    for model in models[1:]:
        _append(whole, model)
    (last,) = graph.outputs
    graph.tensors[last].name = gives.encode()
    signature = schema.SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = SIGNATURE.encode(), 0
    names = [graph.tensors[first].name.decode() for first in graph.inputs]
    each = zip(names, graph.inputs, strict=True)
    signature.inputs = [_named(schema.TensorMapT(), name, first) for name, first in each]
    signature.outputs = [_named(schema.TensorMapT(), gives, last)]
    whole.signatureDefs = [signature]
    whole.metadata = whole.metadataBuffer = None  # how the first part was made
    return bytes(flatbuffer_utils.convert_object_to_bytearray(whole))


def _named(entry: Any, name: str, tensor: int) -> Any:
    entry.name, entry.tensorIndex = name.encode(), tensor
    return entry


def _append(whole: Any, model: Any) -> None:
    """The graph of `model` behind that of `whole`, whose output becomes its input."""
    (graph,), (more,) = whole.subgraphs, model.subgraphs
    (joint,) = graph.outputs
    known = {graph.tensors[i].name: i for i in graph.inputs}
    place = {-1: -1}  # an input that an operator does without
    for entry in more.inputs:
        place[entry] = known.get(more.tensors[entry].name, joint)
        before, after = graph.tensors[place[entry]], more.tensors[entry]
        shapes = [[int(n) for n in tensor.shape] for tensor in (before, after)]
        if before.type != after.type or shapes[0] != shapes[1]:
            raise ValueError(f"parts do not fit: {shapes[0]} then {shapes[1]}")
    for number, tensor in enumerate(more.tensors):
        if number not in place:
            place[number] = len(graph.tensors)
            tensor.buffer += len(whole.buffers)
            graph.tensors.append(tensor)
    for operator in more.operators:
        operator.opcodeIndex += len(whole.operatorCodes)
        operator.inputs = [place[int(i)] for i in operator.inputs]
        operator.outputs = [place[int(i)] for i in operator.outputs]
        graph.operators.append(operator)
    graph.outputs = [place[int(more.outputs[0])]]
    whole.operatorCodes += model.operatorCodes
    whole.buffers += model.buffers


def load_lite(data: bytes) -> Model:
    """On one thread, a clip at a time."""
    with quiet():
        interpreter = tf.lite.Interpreter(model_content=data, num_threads=1)
        interpreter.allocate_tensors()
    takes, (gives,) = interpreter.get_input_details(), interpreter.get_output_details()

    def run(*batches: np.ndarray) -> np.ndarray:
        found = []
        for clip in zip(*batches, strict=True):
            for taken, one in zip(takes, clip, strict=True):
                interpreter.set_tensor(taken["index"], one[None])
            interpreter.invoke()
            found.append(interpreter.get_tensor(gives["index"])[0])
        return np.stack(found)

    return run
