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
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from training.errors import RunError

SIGNATURE = "serving_default"
Model = Callable[[np.ndarray], np.ndarray]  # (batch, ...) float32 -> (batch, classes) float32


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
    function: Callable[[tf.Tensor], tf.Tensor], shape: Sequence[int], examples: Any = None
) -> bytes:
    """`function` of one float32 tensor of `shape`, its batch axis included, as a file.

    With `examples` (count, ...) all between its float input and output is in 8-bit integers, whose
    ranges are those that the examples reach (Jacob et al. 2018, quantisation after training).
    """
    spec = tf.TensorSpec(shape, tf.float32)
    with quiet():
        traced = tf.function(function).get_concrete_function(spec)
        converter = tf.lite.TFLiteConverter.from_concrete_functions([traced])
        if examples is not None:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = lambda: ([one[None]] for one in examples)
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        try:
            return bytes(converter.convert())
        except Exception as error:  # the converter raises errors of many kinds
            lacking = sorted(set(re.findall(r"'tf\.(\w+)' op", str(error))))
            got = ", ".join(lacking) or str(error).partition("\n")[0]
            do = "build the net of operations that TensorFlow Lite has"
            raise RunError("TensorFlow Lite cannot hold the net", got=got, do=do) from error


def chain(parts: Sequence[bytes], takes: str, gives: str) -> bytes:
    """One file that runs the parts in turn, each on what the one before it gives.

    Its signature has the input `takes` and the output `gives`; it is float32 at every joint.
    """
    from tensorflow.lite.python import schema_py_generated as schema
    from tensorflow.lite.tools import flatbuffer_utils

    models = [flatbuffer_utils.read_model_from_bytearray(bytearray(part)) for part in parts]
    whole = models[0]
    (graph,) = whole.subgraphs
    for model in models[1:]:
        _append(whole, model)
    (first,), (last,) = graph.inputs, graph.outputs
    graph.tensors[first].name, graph.tensors[last].name = takes.encode(), gives.encode()
    signature = schema.SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = SIGNATURE.encode(), 0
    signature.inputs = [_named(schema.TensorMapT(), takes, first)]
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
    (joint,), (entry,) = graph.outputs, more.inputs
    before, after = graph.tensors[joint], more.tensors[entry]
    shapes = [[int(n) for n in tensor.shape] for tensor in (before, after)]
    if before.type != after.type or shapes[0] != shapes[1]:
        raise ValueError(f"parts do not fit: {shapes[0]} then {shapes[1]}")
    place = {-1: -1, entry: joint}  # -1 is an input that an operator does without
    for number, tensor in enumerate(more.tensors):
        if number != entry:
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
    (takes,), (gives,) = interpreter.get_input_details(), interpreter.get_output_details()

    def run(batch: np.ndarray) -> np.ndarray:
        found = []
        for one in batch:
            interpreter.set_tensor(takes["index"], one[None])
            interpreter.invoke()
            found.append(interpreter.get_tensor(gives["index"])[0])
        return np.stack(found)

    return run
