"""A trained network that hears sound, as files that run without this project.

Reads nothing. Does: exports, loads each export again from its bytes, compares it with the network
on several lengths, measures its speed on one core. Writes: ``model.onnx`` and
``model.torchscript.pt``, only when they agree, and ``exports.json``, what was found.
"""

import copy
import importlib.util
import io
import math
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from training.durable import write, write_json
from training.errors import RunError
from training.run import say

ONNX, SCRIPT, TOLD = "model.onnx", "model.torchscript.pt", "exports.json"
OPSET = 17  # ONNX operators; the first with layer normalisation
TOLERANCE = 1e-4  # of full scale, at any sample
NEEDED = ("onnx", "onnxruntime")

Pairs = Sequence[tuple[np.ndarray, np.ndarray]]  # a wave, and what the net makes of it
Model = Callable[[np.ndarray], np.ndarray]  # (batch, samples) float32 -> (batch, ...)


@dataclass(frozen=True)
class Ports:
    """What goes in and out of a net by name; both have free axes, the batch and this one."""

    given: str  # (batch, samples)
    made: str
    axis: str  # of what is made, the second


def export(net: nn.Module, rate: int, folder: Path, ports: Ports) -> dict[str, Any]:
    """Both exports of a net made for `rate` Hz, in `folder`, compared.

    Returns {"rate", "exports": [{"file", "bytes", "difference", "ms"}], "left_out": [why]}:
    `difference` is the largest of any sample, `ms` is time for a second of sound on one core.
    An export that does not agree is a RunError, and no file is left.
    """
    net = copy.deepcopy(net).cpu().eval()
    makers = {SCRIPT: (script_bytes, load_script), ONNX: (onnx_bytes, load_onnx)}
    absent = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    left_out = []
    if absent:
        del makers[ONNX]
        left_out.append(f"{ONNX} is left out: pip install {' '.join(absent)}, or make torch")
        say(left_out[0])
        (folder / ONNX).unlink(missing_ok=True)  # it may be of another net
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            pairs = [(wave, net(torch.from_numpy(wave)).numpy()) for wave in probes(rate)]
        made = {name: make(net, rate, ports) for name, (make, _) in makers.items()}
        rows = [_compared(name, made[name], makers[name][1], pairs, rate) for name in made]
    except RunError:
        for name in (SCRIPT, ONNX, TOLD):
            (folder / name).unlink(missing_ok=True)  # what lies there is of another net
        raise
    finally:
        torch.set_num_threads(threads)
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in made.items():
        write(folder / name, [data])
    told = {"rate": rate, "exports": rows, "left_out": left_out}
    write_json(folder / TOLD, told)
    return told


def lines(folder: Path, found: Mapping[str, Any]) -> list[str]:
    """What `export` made of a run, to be printed."""
    return [
        f"{folder / one['file']}: {one['bytes'] / 1e6:.1f} MB, loaded again: at most "
        f"{one['difference']:.1g} from the network, "
        f"{one['ms']:.1f} ms of one core for a second of sound"
        for one in found["exports"]
    ]


def script_bytes(net: nn.Module, rate: int, ports: Ports) -> bytes:
    """TorchScript with the rate in its extra file `rate`; a spec net keeps its `start`, `step`."""
    held = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.save(torch.jit.script(net), held, {"rate": str(rate)})
    return held.getvalue()


def onnx_bytes(net: nn.Module, rate: int, ports: Ports) -> bytes:
    """The ports by their names, both axes free; the rate is in its metadata.

    By way of TorchScript: the exporter on torch.export (torch 2.13) cannot yet export a GRU over a
    free number of frames.
    """
    import onnx

    held: Any = io.BytesIO()
    axes = {ports.given: {0: "batch", 1: "samples"}, ports.made: {0: "batch", 1: ports.axis}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            net, (torch.randn(2, 5000),), held, dynamo=False,
            opset_version=OPSET, input_names=[ports.given],
            output_names=[ports.made], dynamic_axes=axes,
        )  # fmt: skip
    model = onnx.load_model_from_string(held.getvalue())
    onnx.helper.set_model_props(model, {"rate": str(rate)})
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def load_script(data: bytes) -> Model:
    """On one thread, as torch is told."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        module = torch.jit.load(io.BytesIO(data))

    def run(wave: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return np.asarray(module(torch.from_numpy(wave)))

    return run


def load_onnx(data: bytes) -> Model:
    """On one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])

    given = session.get_inputs()[0].name

    def run(wave: np.ndarray) -> np.ndarray:
        return np.asarray(session.run(None, {given: wave})[0])

    return run


def probes(rate: int) -> list[np.ndarray]:
    """What is compared: one sample, odd lengths, a batch, 10 s; levels that wander, and silence."""
    random = np.random.Generator(np.random.Philox(0))
    found = []
    for batch, samples in ((1, 1), (1, 4097), (3, 2 * rate), (1, 10 * rate + 1)):
        swell = 0.1 * 10 ** np.sin(np.arange(samples) / rate * 3)
        wave = swell * random.standard_normal((batch, samples))
        wave[:, samples // 2 : samples // 2 + rate // 2] = 0.0
        found.append(wave.astype(np.float32).clip(-1, 1))
    return found


def _compared(
    name: str, data: bytes, load: Callable[[bytes], Model], pairs: Pairs, rate: int
) -> dict[str, Any]:
    model, difference, ms = load(data), 0.0, 0.0
    for wave, expected in pairs:
        began = time.process_time()  # of this process alone: a busy machine tells the same
        found = model(wave)
        ms = (time.process_time() - began) * 1000 / (wave.shape[1] / rate)  # the longest's counts
        same = found.shape == expected.shape
        apart = float(np.abs(found - expected).max()) if same else math.nan
        if not apart <= TOLERANCE:
            where = f"{name}, batch {wave.shape[0]}, {wave.shape[1]} samples"
            got = apart if same else f"shape {found.shape}"
            do = "use the network itself, and report this with the versions in config.json"
            raise RunError("an export that differs", where, f"at most {TOLERANCE}", got, do)
        difference = max(difference, apart)
    return {"file": name, "bytes": len(data), "difference": difference, "ms": round(ms, 3)}
