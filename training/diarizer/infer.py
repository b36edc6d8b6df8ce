"""A recording of any length through a diarizer: who spoke when.

Reads: a recording, block by block. Writes nothing. Does: cuts it into windows that overlap by half,
asks the network for each, stitches the answers. Memory does not grow with the recording, but for a
byte a frame and speaker.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from training.data.index import DataError
from training.diarizer.frontend import LogMel
from training.diarizer.loss import speaking
from training.diarizer.rttm import Turn
from training.diarizer.stitch import Stitched, turns
from training.diarizer.train import Trained
from training.listening import Tick, listened, untold

# A window -> (frames, speakers) how likely each speaks, (speakers, numbers) their voices.
Ask = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]

WINDOW = 60.0  # seconds, as the conversations that are learnt from
SMOOTH = 0.5  # seconds of the median filter
ALIKE = 0.7  # cosine above which two voices are one person's, where a run does not say


@dataclass(frozen=True)
class Account:
    """What was found in one recording."""

    seconds: float
    turns: list[Turn]


class Listener:
    """A run's network with all it needs to hear sound."""

    def __init__(self, run: Trained) -> None:
        heard, profile = run.facts["config"]["heard"], run.profile
        self.net, self.profile, self.heard = run.net, profile, heard
        self.alike = ALIKE if run.alike is None else run.alike
        self.rate, self.quality = int(heard["audio"]["rate"]), heard["audio"]["resample"]
        self.device = next(run.net.parameters()).device
        self.logmel = LogMel(heard["feature"], self.rate).to(self.device)
        self.frame = profile.shorter * self.logmel.hop  # samples
        longest = min(round(WINDOW * self.rate / self.frame), profile.longest)
        self.step = max(1, longest // 2)  # frames

    @torch.inference_mode()
    def answers(self, wave: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(frames, speakers) how likely each speaks, (speakers, numbers) what their voices are
        like, of (samples,) at most a window; a last frame may be a part of one."""
        frames = -(-len(wave) // self.frame)
        padded = np.pad(wave, (0, frames * self.frame - len(wave)))
        logmel = self.logmel(torch.from_numpy(padded).to(self.device)[None])
        return self.told(logmel, -(-len(wave) // self.logmel.hop))

    @torch.inference_mode()
    def told(self, logmel: torch.Tensor, count: int) -> tuple[np.ndarray, np.ndarray]:
        """The same of (1, frames, mels), of which `count` are recorded."""
        found, voices = self.net(logmel, torch.tensor([count], device=self.device))
        said = speaking(found, self.profile.head, self.profile.sets)[0]
        said = said[: -(-count // self.profile.shorter)]
        if (logmel[0, :count] == logmel[0, 0, 0]).all():  # zeros: no net has learnt from them
            said = torch.zeros_like(said)
        others = said.sum(1, keepdim=True) - said
        alone = said * (1 - others).clamp(min=0)  # a voice is known by what is said alone
        heard = F.normalize(alone.T @ voices[0, : len(said)].float(), dim=-1)
        return said.cpu().numpy(), heard.cpu().numpy()

    def account(self, sound: Iterable[np.ndarray], most: int = 0) -> Account:
        """Of (samples,) blocks; `most` is how many speakers there are at most, 0 for any number."""
        return self._stitched(sound, self.answers, self.frame, most)

    def account_of_frames(self, blocks: Iterable[np.ndarray], most: int = 0) -> Account:
        """Of (frames, mels) blocks, as shards have them."""

        def ask(frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            short = -len(frames) % self.profile.shorter
            padded = torch.from_numpy(np.pad(frames, ((0, short), (0, 0)))).to(self.device)
            return self.told(padded[None], len(frames))

        return self._stitched(blocks, ask, self.profile.shorter, most)

    def _stitched(self, blocks: Iterable[np.ndarray], ask: Ask, each: int, most: int) -> Account:
        """`each` rows of the blocks are a frame of the model."""
        seconds = self.frame / self.rate  # of a frame
        stitched = Stitched(self.step, seconds, alike=self.alike, most=most)
        heard = 0

        def counted() -> Iterator[np.ndarray]:
            nonlocal heard
            for block in blocks:
                heard += len(block)
                yield block

        for window in windows(counted(), self.step * each):
            stitched.add(*ask(window))
        end = heard / each * seconds
        return Account(end, turns(stitched.finish(), seconds, end, SMOOTH))


def windows(blocks: Iterable[np.ndarray], half: int) -> Iterator[np.ndarray]:
    """Windows of two halves, one half apart, along the first axis; the last is what is left, if the
    one before did not hear it."""
    held: np.ndarray | None = None
    first = True
    for block in blocks:
        held = block if held is None else np.concatenate([held, block])
        while len(held) >= 2 * half:
            yield held[: 2 * half]
            held, first = held[half:], False
    if held is not None and len(held) > (0 if first else half):
        yield held


def diarized(listener: Listener, source: Path, tick: Tick = untold, most: int = 0) -> Account:
    """One recording; `tick` is told the seconds that each block adds."""
    with listened(source, listener.rate, listener.quality, tick) as sound:
        found = listener.account(sound, most)
    if not found.seconds:
        raise DataError("holds no sound", source, do="leave it out")
    return found
