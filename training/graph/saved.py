"""SavedModels: made, run, and sealed into a run's folder.

Reads: the folder that TensorFlow writes, which is a temporary one. Does: saves a function of
tensors with the variables it uses, loads it again from its bytes. Writes: a SavedModel's files, the
graph last.
"""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from training.durable import sweep, write
from training.graph.lite import SIGNATURE, Model, quiet

GRAPH = "saved_model.pb"  # without it a folder is no SavedModel


def saved_files(
    function: Callable[..., tf.Tensor],
    variables: Sequence[tf.Variable],
    inputs: Mapping[str, Sequence[int]],
) -> dict[str, bytes]:
    """Path inside the SavedModel -> content, of (batch, *shape) float32 tensors of these names
    -> "probabilities".

    The batch axis is free. `variables` are all that `function` uses.
    """
    whole = tf.Module()
    whole.held = list(variables)
    asked = lambda **given: {"probabilities": function(*(given[n] for n in inputs))}  # noqa: E731
    specs = {n: tf.TensorSpec((None, *shape), tf.float32, n) for n, shape in inputs.items()}
    served = tf.function(asked).get_concrete_function(**specs)
    with tempfile.TemporaryDirectory() as folder, quiet():
        tf.saved_model.save(whole, folder, {SIGNATURE: served})
        found = [path for path in sorted(Path(folder).rglob("*")) if path.is_file()]
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def load_saved(files: Mapping[str, bytes], takes: Sequence[str]) -> Model:
    """A clip at a time, as the other exports run; `takes` names its inputs in their order."""
    with tempfile.TemporaryDirectory() as folder, quiet():
        for name, data in files.items():
            path = Path(folder, name)
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(data)
        module = tf.saved_model.load(folder)

    def run(*batches: np.ndarray) -> np.ndarray:
        served = module.signatures[SIGNATURE]  # by way of the module, which owns the variables
        found = []
        for clip in zip(*batches, strict=True):
            given = {name: tf.constant(x[None]) for name, x in zip(takes, clip, strict=True)}
            found.append(served(**given)["probabilities"].numpy())
        return np.concatenate(found)

    return run


def write_saved(folder: Path, files: Mapping[str, bytes]) -> None:
    """A folder whose graph comes last: until then nothing can be loaded from it."""
    for name in sorted(files, key=lambda name: (name == GRAPH, name)):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep(path.parent)
        write(path, [files[name]])
