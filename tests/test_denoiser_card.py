"""The model card: true to what it is given, and its example runs."""

import math
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

torch = pytest.importorskip("torch")

from tests import carded  # noqa: E402
from training.denoiser.card import card  # noqa: E402
from training.denoiser.spec import SpecNet  # noqa: E402
from training.denoiser.summary import summary  # noqa: E402
from training.denoiser.table import table  # noqa: E402
from training.engine.torch_export import Ports, export  # noqa: E402

FACTS = carded.facts("denoiser", {
    "arch": "spec-large", "rate": 16000, "recipes": ["mine"], "loss": "composite-sdr",
    "online": {"speed": [0.8, 1.25]}, "settings": {"epochs": 40, "clip": None, "seed": 0},
}, torch="2.13.0")  # fmt: skip
EXPORTS = {
    "rate": 16000,
    "left_out": [],
    "exports": [
        {"file": "model.torchscript.pt", "bytes": 5_290_000, "difference": 0.0, "ms": 22.117},
        {"file": "model.onnx", "bytes": 1_234_000, "difference": 1.25e-06, "ms": 13.85},
    ],
}
COUNTS = {"mine": {"examples": {"train": 420, "valid": 175, "test": 95}}}


def measured(unit: str = "dB", ours: tuple[float, float] = (3.0, -1.0)) -> Any:
    """Ours gains 3 dB on white noise and loses 1 dB on babble at 10; DTLN gains 4 and 4."""
    rows = []
    gains = {"input": (0.0, 0.0), "melmill": ours, "DTLN": (4.0, 4.0), "gate": (1.0, -2.0)}
    for name, (white, babble) in gains.items():
        for group in "ab":
            for kind, level, gain in (
                ("white", 5.0, white), ("babble", 10.0, babble), ("clean", "clean", math.nan),
            ):  # fmt: skip
                rows.append({
                    "system": name, "recipe": "mine", "split": "test", "rate": 16000, "kind": kind,
                    "level": level, "unit": unit, "source": f"s{group}", "group": group,
                    "start": 0, "si_sdr": 27.25 if group == "a" else 31.0, "gain": gain,
                    "pesq": math.nan, "estoi": math.nan, "dnsmos": math.nan,
                    "parameters": 668_000.0, "macs": 1e8, "rtf": 0.0151,
                })  # fmt: skip
    return summary(rows)


def test_what_it_is_and_how_it_is_used() -> None:
    text = card(FACTS, {"mine": measured()}, "b7", EXPORTS)
    first = carded.opening(text)
    assert first.startswith("# Denoiser `b7`\n")
    assert "`spec-large`, a recurrent network" in first
    assert "16000 Hz" in first
    assert "0.668 M parameters; a second of sound takes one core 0.015 s." in first
    use = carded.section(text, "Use")
    assert "    make denoise RUN=b7 IN=noisy.wav OUT=clean.wav" in use
    assert "| `model.torchscript.pt` | 5.3 | 0 | 22.1 |" in use
    assert "| `model.onnx` | 1.2 | 1e-06 | 13.8 |" in use


def test_without_exports_it_says_how_to_get_them() -> None:
    carded.assert_export_is_asked_for(card(FACTS, {}, "b7"))
    script = {**EXPORTS, "exports": EXPORTS["exports"][:1]}  # type: ignore[index]
    assert "onnxruntime" not in card(FACTS, {}, "b7", script)


def test_its_example_runs(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    torch.manual_seed(1)
    net = SpecNet(16000, 8)
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, 0, 0.2)
    made = export(net, 16000, tmp_path, Ports("noisy", "clean", "samples"))
    wave = np.random.default_rng(0).uniform(-0.1, 0.1, (20_001, 2)).astype(np.float32)
    soundfile.write(tmp_path / "noisy.wav", wave, 16000, "FLOAT")
    (code,) = re.findall(r"```python\n(.*?)```", card(FACTS, {}, "b7", made), re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    found, rate = soundfile.read(tmp_path / "clean.wav")
    with torch.no_grad():
        expected = net.eval()(torch.from_numpy(wave.T.copy())).numpy().T
    assert rate == 16000
    assert np.abs(found - np.clip(expected, -1, 1)).max() < 1e-4  # 16 bits


def test_data_and_configuration() -> None:
    text = card(FACTS, {"mine": measured()}, "b7", counts=COUNTS)
    data = carded.section(text, "Data")
    assert "| `mine` | `0123456789abcdef` | 420 | 175 | 95 | 4 mixtures, 2 groups |" in data
    assert "No speaker, source or noise recording of the test split is in the others" in data
    assert "Noise was mixed anew" in data
    stored = {**FACTS, "config": {**FACTS["config"], "online": None}}  # type: ignore[dict-item]
    assert "Noise was mixed anew" not in card(stored, {}, "b7")
    assert "| `mine` | `0123456789abcdef` | - | - | - | - |" in card(FACTS, {}, "b7")
    held = carded.section(text, "Configuration")
    for line in ("`arch`: spec-large", "`online.speed`: 0.8, 1.25", "`settings.clip`: off",
                 "`settings.seed`: 0", "`recipes`: mine"):  # fmt: skip
        assert f"- {line}\n" in held + "\n"


def test_measurements_are_the_table_itself() -> None:
    carded.assert_measured(card, FACTS, measured(), table)


def test_limits_tell_what_it_harms() -> None:
    text = carded.section(card(FACTS, {"mine": measured()}, "b7"), "Limits")
    assert "above 8000 Hz is left out" in text
    assert "mine: clean input comes out at an SI-SDR of 29.1 dB (median), 27.2 dB at worst." in text
    assert "worst 5 % of the mixtures gain -1.0 dB" in text
    assert "worse than doing nothing: babble at 10 dB (-1.0 dB)." in text
    assert "more SI-SDR on average comes of: DTLN.\n" in text + "\n"
    sigma = carded.section(card(FACTS, {"mine": measured("deviation")}, "b7"), "Limits")
    assert "babble at 10 (-1.0 dB)" in sigma
    bad = carded.section(card(FACTS, {"mine": measured(ours=(-1.0, -0.04))}, "b7"), "Limits")
    assert "average comes of: doing nothing, DTLN, gate.\n" in bad + "\n"
    assert "worse than doing nothing: white at 5 dB (-1.0 dB).\n" in bad


def test_what_was_not_measured_is_left_out() -> None:
    told = measured()
    own = told["systems"]["melmill"]
    own.update(parameters=None, rtf=None)
    own["clean"].update(median=None, worst=None)
    own["worst"]["mean"] = None
    for found in own["kinds"].values():
        for cell in found["levels"].values():
            cell["gain"] = None
    for gap in told["ahead"].values():
        gap["gain"]["mean"] = None
    text = card(FACTS, {"mine": told}, "b7")
    assert "mine:" not in carded.section(text, "Limits")
    assert "parameters" not in carded.opening(text)
    alone = {**told, "ours": None, "ahead": {}}
    assert "mine:" not in carded.section(card(FACTS, {"mine": alone}, "b7"), "Limits")


def test_versions_and_day() -> None:
    carded.assert_versions_and_day(card, FACTS, "python 3.11.7, torch 2.13.0")
