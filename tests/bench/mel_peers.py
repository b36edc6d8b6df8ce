"""Other programs that take mel spectra, each as a call on the same samples with the same frames.

Reads and writes nothing. Does: hands out (name, call) of those that are installed and says which
are not. Their numbers are theirs: Kaldi's frames have no centre and lose their mean, essentia's
bands are its own. What is the same is the work: a window, a real transform, 128 or 96 bands a
frame.
"""

from collections.abc import Callable, Iterator

import numpy as np

from pipeline.dsp import bands
from pipeline.dsp.mel import MelSpec

Call = Callable[[], object]


def torch_stft(y: np.ndarray, spec: MelSpec) -> Call:
    import torch

    torch.set_num_threads(1)
    window = torch.hann_window(spec.n_fft)
    top = spec.rate / 2
    table = bands.triangles(spec.rate, spec.n_fft, spec.mels, 0.0, top, "slaney", True)
    bank, wave = torch.from_numpy(np.asarray(table, np.float32)), torch.from_numpy(y)

    def call() -> object:
        found = torch.stft(
            wave, spec.n_fft, spec.hop, window=window, pad_mode="constant", return_complex=True
        )
        return bank @ found.abs().square()

    return call


def kaldi(y: np.ndarray, spec: MelSpec) -> Call:
    import kaldi_native_fbank as knf

    asked = knf.FbankOptions()
    asked.frame_opts.samp_freq = spec.rate
    asked.frame_opts.frame_length_ms = 1000 * spec.n_fft / spec.rate
    asked.frame_opts.frame_shift_ms = 1000 * spec.hop / spec.rate
    asked.frame_opts.dither, asked.frame_opts.snip_edges = 0, False
    asked.frame_opts.window_type, asked.mel_opts.num_bins = "hann", spec.mels
    wave = y.tolist()

    def call() -> object:
        made = knf.OnlineFbank(asked)
        made.accept_waveform(spec.rate, wave)
        made.input_finished()
        return np.stack([made.get_frame(i) for i in range(made.num_frames_ready)])

    return call


def essentia(y: np.ndarray, spec: MelSpec) -> Call:
    import essentia as package
    from essentia import standard

    package.log.infoActive = False
    window = standard.Windowing(type="hann", size=spec.n_fft, zeroPhase=False)
    spectrum = standard.Spectrum(size=spec.n_fft)
    mels = standard.MelBands(
        inputSize=spec.n_fft // 2 + 1, numberBands=spec.mels, sampleRate=spec.rate,
        highFrequencyBound=spec.rate / 2,
    )  # fmt: skip

    def call() -> object:
        frames = standard.FrameGenerator(y, frameSize=spec.n_fft, hopSize=spec.hop)
        return np.stack([mels(spectrum(window(frame))) for frame in frames])

    return call


MAKERS = {"torch.stft": torch_stft, "kaldi-native-fbank": kaldi, "essentia": essentia}


def there(y: np.ndarray, spec: MelSpec) -> Iterator[tuple[str, Call]]:
    for name, make in MAKERS.items():
        try:
            yield name, make(y, spec)
        except ImportError as missing:
            print(f"skipped: mel spectra beside {name} ({missing})")
