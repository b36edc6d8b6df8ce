"""The published weights of MusicNN as runs of ours: to tag at once, to start from, to compare with.

Reads: the files of the package `musicnn` (Pons and Serra 2019; its weights are under the ISC
licence), which is installed but never imported: TensorFlow's own reader takes the numbers out of
its checkpoints, and the names of the tags are read as text. Does: gives each array its place in our
net. Writes: artifacts/runs/tagger/MSD_musicnn and MTT_musicnn.
"""

import ast
import importlib.util
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from training import durable
from training.engine.checkpoint import Checkpoints, used
from training.engine.keras_learner import variables
from training.errors import Changed, Damaged, RunError
from training.run import Run, opened, say, short
from training.tagger import MODEL
from training.tagger.profiles import PROFILES
from training.tagger.train import net_of

PACKAGE = "musicnn"
# make installs it once: what was damaged since is mended by pip itself.
PIP = f"{sys.executable} -m pip install --force-reinstall --no-deps -r .ci/musicnn.lock"
DO = f"install it anew ({PIP}), then make import-musicnn"
# name -> sha256 of the checkpoint's arrays in musicnn 0.1.0. The last one is used first.
FILES = {
    "MSD_musicnn": "8579734ee6388f799ed0def4bbd0d1fdcbeaf213ef2a9dc860917bd76a303de6",
    "MTT_musicnn": "041f3935e981a65cea739842d30c188d3a7d2adf4410955c8668eb3de4a5acab",
}
# The front end that they were trained with (musicnn/configuration.py, extractor.py): 16 kHz, Hann
# 512, hop 256, 96 bands, log10(1 + 10000 mel), patches of 187 frames.
HEARD: dict[str, Any] = {
    "name": "musicnn",
    "audio": {"rate": 16000, "resample": "HQ"},
    "window": {"samples": 47872, "hop": 47872, "pad": "repeat", "min_fill": 1.0,
               "edges": "recording", "most": 0},
    "features": {"logmel": {
        "kind": "mel", "n_fft": 512, "hop": 256, "mels": 96, "win": 0, "fmin": 0.0, "fmax": 0.0,
        "scale": "slaney", "norm": "slaney", "log": "log10_1p", "c": 10000.0,
    }},
}  # fmt: skip
SHAPE = (187, 96)
EPSILON = 1e-3  # of TensorFlow 1's batch normalisation
# Our layer -> the published one's name; each with a normalisation behind it that counts from 1.
LAYERS = {
    "timbral38": "conv2d", "timbral67": "conv2d_1", "temporal128": "conv2d_2",
    "temporal64": "conv2d_3", "temporal32": "conv2d_4", "inside0": "conv2d_5",
    "inside1": "conv2d_6", "inside2": "conv2d_7", "pooled": "", "hidden": "dense",
    "logits": "dense_1",
}  # fmt: skip
NORMS = ("gamma", "beta", "moving_mean", "moving_variance")

Arrays = dict[str, np.ndarray]


def imported(root: Path) -> list[Path]:
    """The runs of the published weights, made unless they stand whole. Nothing is written before
    all of the package is known to be good."""
    package = _package()
    found = []
    for name, key in FILES.items():
        held = _read(package / name, key)
        tags = _tags(package, f"{name.partition('_')[0]}_LABELS", len(held["dense_1/bias"]))
        config = _configured(name, held, tags)
        net = net_of(config)
        _given(net, held)
        found.append((name, config, net))
    return [_written(root, *one) for one in found]


def _package() -> Path:
    spec = importlib.util.find_spec(PACKAGE)  # of a package at the top: nothing of it is run
    if spec is None or not spec.submodule_search_locations:
        raise RunError(f"the package {PACKAGE} is not installed", do=DO)
    return Path(spec.submodule_search_locations[0])


def _read(folder: Path, key: str) -> Arrays:
    """All arrays of a checkpoint of TensorFlow 1, whose files have no name but a suffix."""
    data = folder / ".data-00000-of-00001"
    if not data.is_file():
        raise RunError("no published weights", data, "musicnn 0.1.0", do=DO)
    if (own := durable.hash_of(data)) != key:
        raise Damaged("not the published weights", data, f"sha256 {key[:16]}", own[:16], DO)
    try:
        reader = tf.compat.v1.train.NewCheckpointReader(f"{folder}/")
        names = [name for name in reader.get_variable_to_shape_map() if "Adam" not in name]
        return {name: np.asarray(reader.get_tensor(name), np.float32) for name in names}
    except (tf.errors.OpError, ValueError, RuntimeError) as error:
        raise Damaged("not a readable checkpoint", folder, got=error, do=DO) from error


def _tags(package: Path, name: str, count: int) -> list[str]:
    """A list of so many names that a Python file gives a name, without running the file."""
    where, wanted, got = package / "configuration.py", f"a list of {count} names", "none"
    try:
        for node in ast.parse(where.read_text("utf-8")).body:
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == name:
                held = ast.literal_eval(node.value)
                got = short(held)
                names = [tag for tag in held if isinstance(tag, str)]
                if isinstance(held, list) and len(set(names)) == len(held) == count:
                    return names
    except (OSError, SyntaxError, ValueError, TypeError, RecursionError) as error:
        raise Damaged(f"no {name} that can be read", where, wanted, short(error), DO) from error
    raise Damaged(f"no {name} that can be read", where, wanted, got, DO)


def _configured(name: str, held: Arrays, tags: list[str]) -> dict[str, Any]:
    """What a run of these weights began with."""
    gamma, beta, mean, variance = (float(held[f"batch_normalization/{n}"][0]) for n in NORMS)
    deviation = float(np.sqrt(variance + EPSILON)) / gamma
    profile = PROFILES["classic"]
    settings = replace(profile.settings, epochs=1)  # they have learnt already
    return {
        **replace(profile, net="musicnn", settings=settings).config(),
        "recipe": HEARD["name"], "features": "logmel", "heard": HEARD, "shape": list(SHAPE),
        "tags": tags, "mean": mean - beta * deviation, "deviation": deviation,
        "start": None, "replicas": 1, "published": f"{PACKAGE} {name}",
    }  # fmt: skip


def _written(root: Path, name: str, config: dict[str, Any], net: Any) -> Path:
    for file in ("config.json", "state.json"):  # what is damaged says nothing any more
        _dropped(root / "runs" / MODEL / name / file)
    with opened(root, MODEL, config, {}, name=name, threads=1) as run:
        wrong = _wrong(run)
        if run.finished and wrong:
            say(f"{run.folder}: {wrong}: it is made anew")
        if wrong or not run.finished:
            state = {"learner": {"model": variables(net), "ema": None}, "run": run.key}
            shutil.rmtree(run.folder / "checkpoints", ignore_errors=True)
            Checkpoints(run.folder).save(0, state, best=True)
            run.mark("finished", why="published weights")
        return run.folder


def _dropped(path: Path) -> None:
    try:
        if path.exists():
            durable.read_json(path)
    except Damaged:
        say(f"{path}: damaged: it is made anew")
        path.unlink()


def _wrong(run: Run) -> str:
    """Why the weights of a run cannot be used; "" where they can."""
    try:
        path, state = used(run.folder, "-")
    except RunError as error:
        return str(error.__cause__ or error).removesuffix(". -")
    if state["run"] != run.key:  # whose configuration was lost
        raise RunError("weights of another run", path, do=f"move {run.folder} away")
    return ""


def _given(net: Any, held: Arrays) -> None:
    """Every array to its place; refused where one does not fit."""
    kinds = {layer: f"batch_normalization_{i + 1}" for i, layer in enumerate(LAYERS)}
    for layer, there in LAYERS.items():
        if there:
            kernel, bias = held[f"{there}/kernel"], held[f"{there}/bias"]
            if layer.startswith("inside"):  # (frames, channels, 1, filters)
                kernel = kernel[:, :, 0]
            if layer == "hidden":
                kernel = _pooled(kernel)
            _set(net.get_layer(layer), {"kernel": kernel, "bias": bias})
        if layer != "logits":
            arrays = {n: held[f"{kinds[layer]}/{n}"] for n in NORMS}
            if layer == "pooled":
                arrays = {n: _pooled(array) for n, array in arrays.items()}
            _set(net.get_layer(f"{layer}_norm"), arrays)


def _pooled(array: np.ndarray) -> np.ndarray:
    """Theirs has the largest value and the mean of each channel side by side; ours, all largest
    ones first."""
    return np.concatenate([array[0::2], array[1::2]])


def _set(layer: Any, arrays: Arrays) -> None:
    for variable in layer.variables:
        array = arrays[variable.name]
        if tuple(variable.shape) != array.shape:
            raise Changed("weights of another net", variable.path, variable.shape, array.shape)
        variable.assign(array)
