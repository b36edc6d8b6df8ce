"""SavedModels: made, run, and sealed into a run's folder.

Reads: the folder that TensorFlow writes, which is a temporary one. Does: saves a function of one
tensor with the variables it uses, loads it again from its bytes. Writes: a SavedModel's files, the
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
    function: Callable[[tf.Tensor], tf.Tensor],
    variables: Sequence[tf.Variable],
    shape: Sequence[int],
    takes: str,
) -> dict[str, bytes]:
    """Path inside the SavedModel -> content, of (batch, *shape) float32 -> "probabilities".

    The batch axis is free. `variables` are all that `function` uses.
    """
    whole = tf.Module()
    whole.held = list(variables)
    served = tf.function(lambda **given: {"probabilities": function(given[takes])})
    spec = tf.TensorSpec((None, *shape), tf.float32, name=takes)
    with tempfile.TemporaryDirectory() as folder, quiet():
        tf.saved_model.save(
            whole, folder, {SIGNATURE: served.get_concrete_function(**{takes: spec})}
        )
        found = [path for path in sorted(Path(folder).rglob("*")) if path.is_file()]
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def load_saved(files: Mapping[str, bytes]) -> Model:
    """A clip at a time, as the other exports run."""
    with tempfile.TemporaryDirectory() as folder, quiet():
        for name, data in files.items():
            path = Path(folder, name)
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(data)
        module = tf.saved_model.load(folder)
    (takes,) = module.signatures[SIGNATURE].structured_input_signature[1]

    def run(batch: np.ndarray) -> np.ndarray:
        served = module.signatures[SIGNATURE]  # by way of the module, which owns the variables
        told = [served(**{takes: tf.constant(one[None])}) for one in batch]
        return np.concatenate([one["probabilities"].numpy() for one in told])

    return run


def write_saved(folder: Path, files: Mapping[str, bytes]) -> None:
    """A folder whose graph comes last: until then nothing can be loaded from it."""
    for name in sorted(files, key=lambda name: (name == GRAPH, name)):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep(path.parent)
        write(path, [files[name]])
