"""Weights that a fresh net begins with, from a file of this machine.

Reads: a checkpoint of a run, or the HDF5 file in which Keras' releases keep the weights of
one of their nets for images (https://github.com/keras-team/keras, applications/). Does: finds every
weight of the net's body in it, with its shape, or refuses; sums the first layer's kernel over the
colours, which is what a picture without colours does to it. Writes nothing, and asks no network.

What the net normalises with, and the states of its random layers, stay its own.
"""

import hashlib
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np

from training.engine.checkpoint import MAGIC, unpack, weights
from training.engine.keras_learner import variables
from training.errors import Changed, Damaged, RunError

LAST = "logits"  # the layer whose shape follows from the classes
HDF5 = b"\x89HDF\r\n\x1a\n"
LARGEST = 1 << 30  # bytes of a file: the largest of these nets have a tenth of it
NAMES = 1 << 16  # bytes of a list of names: what an HDF5 header holds at most
COLOURS = 3

Found = list[tuple[Any, np.ndarray]]  # variables of the net, each with what it begins with


def begun(net: keras.Model, path: str, key: str) -> str:
    """Gives `net` weights from a file, all or none; returns a line on what was taken. `key` is the
    file's sha256, as noted when the run began."""
    where = Path(path)
    data = _bytes(where, key)
    if data.startswith(MAGIC):
        found, told = _ours(net, data, where)
    elif data.startswith(HDF5):
        found, told = _of_keras(net, data, where)
    else:
        wanted = "a checkpoint of a run, or Keras' weights of a net as .h5"
        raise Changed("no file of weights", where, wanted, "another file")
    for variable, array in found:
        if not np.isfinite(array).all():
            raise Damaged("weights that are not numbers", f"{where} [{variable.path}]")
    for variable, array in found:
        variable.assign(array)
    return f"begins with {len(found)} arrays of {where}{told}"


def _bytes(path: Path, key: str) -> bytes:
    try:
        size = path.stat().st_size
        if not path.is_file() or size > LARGEST:
            got = f"{size} bytes" if path.is_file() else "none"
            raise Changed("no file of weights", path, f"a file of {LARGEST} bytes at most", got)
        data = path.read_bytes()
    except OSError as error:
        raise RunError(f"cannot be read: {error.strerror}", path) from error
    found = hashlib.sha256(data).hexdigest()
    if found != key:
        do = "put it back, or name a new run with RUN="
        what = "the weights to begin with have changed since the run began"
        raise Changed(what, path, f"sha256 {key[:16]}", found[:16], do)
    return data


def _learnt(net: keras.Model) -> Iterator[tuple[str, int, Any]]:
    """Layer, place and variable of all that is learnt: weights, and averages of batches."""
    places = {id(v): i for i, v in enumerate(net.variables)}
    for layer in net.layers:
        for variable in layer.variables:
            if "float" in variable.dtype:
                yield layer.name, places[id(variable)], variable


def _ours(net: keras.Model, data: bytes, where: Path) -> tuple[Found, str]:
    state = unpack(data, where)
    try:
        held = weights(state["learner"])
        held = {name: array for name, array in held.items() if isinstance(array, np.ndarray)}
    except (KeyError, TypeError, AttributeError) as error:
        raise Changed("no checkpoint of a net", where, do="name a checkpoint of a run") from error
    names, found, last = list(variables(net)), [], ", those of the last layer among them"
    do = f"name a checkpoint of a run of the net {net.name.replace('_', '-')}"
    for layer, place, variable in _learnt(net):
        array, shape = held.get(names[place]), tuple(variable.shape)
        if layer == LAST and array is not None and array.shape[-1] != shape[-1]:
            last = f"; its last layer has {array.shape[-1]} answers: that of {shape[-1]} is fresh"
        elif array is None or array.shape != shape:
            got = "none" if array is None else array.shape
            raise Changed("weights of another net", f"{where} [{variable.path}]", shape, got, do)
        else:
            found.append((variable, array))
    if len(held) != len(names):
        raise Changed("weights of another net", where, f"{len(names)} arrays", len(held), do)
    return found, last


def _of_keras(net: keras.Model, data: bytes, where: Path) -> tuple[Found, str]:
    """Layers and weights go by their names; what else the file holds is not looked at."""
    try:
        with h5py.File(io.BytesIO(data), "r") as file:
            layers = {_layer(name): name for name in _names(file, "layer_names", where)}
            found = [
                (variable, _array(file, layers, layer, variable, where))
                for layer, _, variable in _learnt(net)
                if layer != LAST
            ]
    except (OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
        raise Damaged("not a readable HDF5 file of weights", where, got=error) from error
    return found, "; the last layer is fresh"


def _array(
    file: h5py.File, layers: dict[str, str], layer: str, variable: Any, where: Path
) -> np.ndarray:
    """One weight, as the net wants it."""
    shape, here = tuple(variable.shape), f"{where} [{variable.path}]"
    do = "name the file of this net without its top (notop)"
    if layer not in layers:
        raise Changed("weights of another net", here, shape, "no such layer", do)
    group = _inside(file, layers[layer], h5py.Group, here)
    names = {_weight(name): name for name in _names(group, "weight_names", here)}
    if variable.name not in names:
        raise Changed("weights of another net", here, shape, "no such weight", do)
    stored = _inside(group, names[variable.name], h5py.Dataset, here)
    coloured = len(shape) == 4 and shape[2] == 1 and stored.shape == (*shape[:2], COLOURS, shape[3])
    if not coloured and stored.shape != shape:
        raise Changed("weights of another net", here, shape, stored.shape, do)
    if stored.id.get_offset() is None:  # virtual, in another file, or packed
        raise Changed("not one plain array inside the file", here)
    if stored.dtype.kind != "f":
        raise Changed("wrong type", here, variable.dtype, stored.dtype)
    array = np.asarray(stored[()], np.float32)
    return array.sum(2, keepdims=True) if coloured else array


def _inside(group: h5py.Group, name: str, kind: type, where: object) -> Any:
    """What lies under a name in this very file: no link is followed."""
    found: Any = group
    for part in filter(None, name.split("/")):
        if type(found.get(part, getlink=True)) is not h5py.HardLink:
            raise Changed("a link in place of weights", where, name)
        found = found[part]
        if not isinstance(found, (h5py.Group, kind)):
            break
    if not isinstance(found, kind):
        raise Changed(f"no {kind.__name__.lower()}", where, name, type(found).__name__)
    return found


def _names(group: h5py.Group, name: str, where: object) -> list[str]:
    """A list of names that Keras keeps beside what it names."""
    if name not in group.attrs:
        do = "name a file of weights alone, in the older of Keras' two layouts"
        raise Changed("no weights as Keras' releases keep them", where, name, "none", do)
    if group.attrs.get_id(name).get_storage_size() > NAMES:
        raise Changed("too many names", where, f"{NAMES} bytes at most")
    return [
        each.decode() if isinstance(each, bytes) else str(each)
        for each in np.ravel(group.attrs[name])
    ]


def _layer(name: str) -> str:
    """A layer's name as Keras 3 spells it: no slashes since then. Conv_1/BatchNorm: conv_1_bn."""
    return name.lower().replace("/", "_").replace("batchnorm", "bn")


def _weight(name: str) -> str:
    """Conv/kernel:0 and conv/kernel: kernel. That of a depthwise layer had a name of its own."""
    plain = re.sub(r":\d+$", "", name.rpartition("/")[2])
    return "kernel" if plain == "depthwise_kernel" else plain
