"""The card of a diarizer: true to what it is given, and its example runs.

Reads and writes only in pytest's folders.
"""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from tests import carded, diarizing  # noqa: E402
from training.diarizer.card import card  # noqa: E402
from training.diarizer.rttm import Turn  # noqa: E402
from training.diarizer.summary import score, summary  # noqa: E402
from training.diarizer.table import table  # noqa: E402
from training.diarizer.train import Trained, make_net  # noqa: E402

FEATURE = {"kind": "mel", "n_fft": 256, "hop": 80, "mels": 20, "win": 200, "log": "ln", "eps": 1e-6,
           "fmin": 0.0, "fmax": 0.0, "scale": "slaney", "norm": "slaney"}  # fmt: skip
HEARD = {"audio": {"rate": 8000, "resample": "HQ"}, "feature": FEATURE}
CONFIG = {**diarizing.TINY.config(), "recipes": ["mine"], "known": 0, "heard": HEARD}
FACTS = carded.facts("diarizer", CONFIG, torch="2.13.0")
EXPORTS = {"rate": 8000, "left_out": [], "exports": [
    {"file": "model.torchscript.pt", "bytes": 5_290_000, "difference": 0.0, "ms": 22.117},
    {"file": "model.onnx", "bytes": 1_234_000, "difference": 1.25e-06, "ms": 13.85},
]}  # fmt: skip
TRUTH = [Turn(0, 60, "a"), Turn(60, 100, "b")]


def measured(ours: str = "melmill") -> Any:
    """Ours misses 10 s of 100 in each, and finds one of two in the second; `other` misses none."""
    rows = []
    for name, found in (("r", [Turn(10, 60, "x"), Turn(60, 100, "y")]), ("s", [Turn(0, 100, "x")])):
        rows.append(score(name, ours, TRUTH, found, 100.0, 1.5))
        rows.append(score(name, "other", TRUTH, TRUTH, 100.0, 1.0))
        rows.append(score(name, "worse", TRUTH, [], 100.0))
    return summary(rows, recipe="mine", ours=ours, parameters={ours: 668_000.0})


def test_what_it_is_and_how_it_is_used() -> None:
    text = card(FACTS, {"mine": measured()}, "b7", EXPORTS)
    first = carded.opening(text)
    assert first.startswith("# Diarizer `b7`\n")
    assert "up to 4 speakers a minute and 2 at once" in first
    assert "by conformer blocks (1 of width 16) over frames of 100 ms." in first
    assert "0.668 M parameters; a second of sound takes one core 0.0150 s." in first
    use = carded.section(text, "Use")
    assert "    make diarize RUN=b7 IN=talk.wav OUT=talk.rttm" in use
    assert "| `model.torchscript.pt` | 5.3 | 0 | 22.1 |" in use
    assert "| `model.onnx` | 1.2 | 1e-06 | 13.8 |" in use


def test_without_exports_it_says_how_to_get_them() -> None:
    carded.assert_export_is_asked_for(card(FACTS, {}, "b7"))
    script = {**EXPORTS, "exports": EXPORTS["exports"][:1]}  # type: ignore[index]
    assert "onnxruntime" not in card(FACTS, {}, "b7", script)


def test_its_example_runs(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    import soundfile

    from training.diarizer import report
    from training.diarizer.infer import Listener
    from training.engine.torch_export import Ports, export

    torch.manual_seed(1)
    run = Trained(tmp_path, make_net(diarizing.TINY, 20).eval(), diarizing.TINY, FACTS)
    listener = Listener(run)
    made = export(report.Sounded(listener), 8000, tmp_path, Ports("wave", "speaking", "frames"))
    soundfile.write(tmp_path / "talk.wav", diarizing.spoken([("A", 0, 3)], 4.0, 8000), 8000)
    (code,) = re.findall(r"```python\n(.*?)```", card(FACTS, {}, "b7", made), re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    wave, _ = soundfile.read(tmp_path / "talk.wav", dtype="float32")
    found = (listener.answers(wave)[0] > 0.5).sum(0) * 0.1
    assert done.stdout == f"{found} s of each speaker\n"


def test_data_measurements_versions() -> None:
    text = card(FACTS, {"mine": measured()}, "b7", counts=carded.COUNTS)
    data = carded.section(text, "Data")
    assert "| `mine` | `0123456789abcdef` | 420 | 60 | 120 | 2 recordings, 3 min |" in data
    assert "No speaker of the test split is in the others" in data
    held = "\n".join(carded.listed(text))
    for line in ("`shorter`: 10", "`head`: powerset", "`recipes`: mine", "`settings.seed`: 0"):
        assert f"- {line}" in held
    carded.assert_measured(card, FACTS, measured(), table)
    carded.assert_versions_and_day(card, FACTS, "python 3.11.7, torch 2.13.0")


def test_limits_tell_what_it_gets_wrong() -> None:
    text = carded.section(card(FACTS, {"mine": measured()}, "b7"), "Limits")
    assert "More than 4 speakers within a minute, or 2 at once, cannot be told." in text
    assert "A turn is known to 100 ms." in text
    assert "mine: behind other (-25.0), points of DER.\n" in text + "\n"
    assert "mine: the number of speakers is right in 50 % of the recordings." in text
    alone = {**measured(), "ours": None, "ahead": {}}
    assert "mine:" not in carded.section(card(FACTS, {"mine": alone}, "b7"), "Limits")
    assert "parameters" not in carded.opening(card(FACTS, {"mine": alone}, "b7"))
