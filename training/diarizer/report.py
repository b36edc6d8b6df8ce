"""What a person gets of a diarizer's run: tables, curves, timelines, pages, a card.

Reads: a run's metrics, configuration and weights, and the test splits. Does: measures beside the
other diarizers that are installed and beside listening to nothing. Writes into the run's folder:
``training_history.png``, ``evaluation-<recipe>.csv`` and ``.json``, ``errors-<recipe>.png``,
``timeline-<recipe>-<recording>.png``, ``MODEL.md``, and the exports.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import product
from pathlib import Path

import torch
from torch import Tensor, nn

from training import report
from training.data.index import Index, load_index
from training.diarizer import plots
from training.diarizer.calibrate import calibrated
from training.diarizer.card import HEARD, card
from training.diarizer.evaluate import found_in, has_sound, measured, recordings, windows_of
from training.diarizer.infer import Listener
from training.diarizer.peers import absent, peers
from training.diarizer.sizes import sizes
from training.diarizer.summary import Summary, save, summary
from training.diarizer.systems import System
from training.diarizer.table import table
from training.diarizer.train import Trained
from training.engine.torch_export import TOLD, Ports, export, lines
from training.history import RATE, Panel
from training.report import Report
from training.run import say
from training.runs import CARD

OURS = "melmill"
SHOWN = 3  # recordings of which there is a timeline
PANELS = (
    Panel("speech", "loss: who speaks"), Panel("der", "error rate (DER, frames)"),
    Panel("voice", "loss: whose voice"), RATE,
)  # fmt: skip


def whole(run: Trained, artifacts: Path) -> str:
    """Everything, at the end of a run; returns what to print."""

    def made() -> str:
        names = run.facts["config"]["recipes"]
        _measured([run], names, artifacts)
        return redrawn(run.folder)

    return report.whole(run.folder, made, redrawn)


def with_sound(index: Index, artifacts: Path) -> Index:
    """The recipe of the same test recordings, with their sound, where it stands beside this one."""
    folder = artifacts / f"{index.name}{HEARD}"
    if not (folder / "index.json").exists():
        return index
    found = load_index(folder)
    if windows_of(found) == windows_of(index):
        return found
    say(f"{folder}: not what {index.name} is tested with; measured without sound")
    return index


def evaluation(runs: Sequence[Trained], on: Sequence[str], artifacts: Path) -> str:
    """Runs beside each other and the others on each recipe; of several runs, also what they cost
    beside each other."""
    names = on or list(dict.fromkeys(n for run in runs for n in run.facts["config"]["recipes"]))
    told = _measured(runs, names, artifacts)
    for run in runs:
        redrawn(run.folder)
    text = "\n".join(table(one) for one in told)
    return text if len(runs) == 1 else text + "\n" + sizes(runs, told)


def _measured(
    runs: Sequence[Trained], recipes: Sequence[str], artifacts: Path
) -> list[Summary]:  # fmt: skip
    """A summary a recipe, of the first run; each run has its own in its folder."""
    runs = [calibrated(run, artifacts) for run in runs]
    plain = [load_index(artifacts / name) for name in recipes]
    for index, run in product(plain, runs):
        report.warn(run.facts, run.folder.name, index)
    heard = [with_sound(index, artifacts) for index in plain]
    indexes = list({index.name: index for index in heard}.values())
    others: Mapping[str, System] = {}
    if any(map(has_sound, indexes)):
        others = peers()
        for line in absent():
            say(line)
    names = [OURS] if len(runs) == 1 else [run.folder.name for run in runs]
    found = []
    for index in indexes:
        ours = {name: Listener(run) for name, run in zip(names, runs, strict=True)}
        rows = measured(ours, others, index)
        counts = {name: float(parameters(run)) for name, run in zip(names, runs, strict=True)}
        counts |= {name: system.parameters for name, system in others.items()}
        told = [summary(rows, recipe=index.name, ours=n, parameters=counts) for n in names]
        for run, one, listener in zip(runs, told, ours.values(), strict=True):
            save(rows, one, run.folder)
            _timelines(listener, index, run.folder)
        found.append(told[0])
    return found


def parameters(run: Trained) -> int:
    """Those that are used, not what was learnt of single voices."""
    return sum(p.numel() for name, p in run.net.named_parameters() if name != "known")


def _timelines(listener: Listener, index: Index, folder: Path) -> None:
    """The first recordings with what was found in them."""
    for number, one in enumerate(recordings(index)):
        if number == SHOWN:
            return
        found = found_in(one, listener, has_sound(index))
        path = folder / f"timeline-{index.name}-{one.name}.png"
        title = f"{index.name} {one.name}"
        plots.timeline({"truth": one.truth, "found": found}, one.seconds, title, path)


def _pictures(one: Summary, folder: Path) -> None:
    plots.errors(one, folder / f"errors-{one['recipe']}.png")


REPORT = Report(PANELS, table, _pictures, card, TOLD)
redrawn = partial(report.redrawn, REPORT)


class Sounded(nn.Module):
    """`speaking = Sounded(listener)(wave)`: a network with all it needs to hear sound."""

    def __init__(self, listener: Listener) -> None:
        super().__init__()
        self.logmel, self.net, self.shorter = listener.logmel, listener.net, listener.frame
        self.head, self.hop = listener.profile.head, listener.logmel.hop
        self.register_buffer("table", listener.profile.sets.table())

    def forward(self, wave: Tensor) -> Tensor:
        """(batch, samples) -> (batch, frames, speakers): how likely each speaks."""
        short = -wave.shape[1] % self.shorter
        logmel = self.logmel(nn.functional.pad(wave, (0, short)))
        heard = (wave.shape[1] + self.hop - 1) // self.hop
        count = torch.full((wave.shape[0],), heard, device=wave.device)
        answers, _ = self.net(logmel, count)
        return answers.sigmoid() if self.head == "pit-bce" else answers.softmax(-1) @ self.table


def exported(run: Trained) -> str:
    """The run's model as ONNX and TorchScript, and the card that tells of them."""
    listener = Listener(run)
    ports = Ports("wave", "speaking", "frames")
    found = export(Sounded(listener), listener.rate, run.folder, ports)
    redrawn(run.folder)
    return "\n".join([*lines(run.folder, found), f"how to use them: {run.folder / CARD}"])
