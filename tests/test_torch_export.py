"""Exports: they agree at any length, run without the project, and are not kept when they differ."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from training.denoiser.spec import SpecNet  # noqa: E402
from training.denoiser.unet import UNet  # noqa: E402
from training.durable import read_json  # noqa: E402
from training.engine import torch_export as exporting  # noqa: E402
from training.engine.torch_export import (  # noqa: E402
    ONNX,
    SCRIPT,
    TOLD,
    Ports,
    export,
    load_onnx,
    load_script,
)
from training.errors import RunError  # noqa: E402

torch.set_num_threads(1)
RATE = 4000  # Hz: what is compared is counted in seconds
PORTS = Ports("noisy", "clean", "samples")


def strong(arch: str) -> Any:
    """Weights so large that every path shows in the output."""
    torch.manual_seed(1)
    net = UNet(4) if arch == "unet" else SpecNet(RATE, 8, 2)
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, 0, 0.2)
    return net


@pytest.fixture
def both() -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")


@pytest.mark.usefixtures("both")
@pytest.mark.parametrize("arch", ["unet", "spec"])
def test_both_agree_with_the_net_at_any_length(arch: str, tmp_path: Path) -> None:
    net = strong(arch).train()
    torch.set_num_threads(2)
    try:
        told = export(net, RATE, tmp_path / "run", PORTS)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
    assert net.training  # the caller's net is as it was
    assert (told["rate"], told["left_out"]) == (RATE, [])
    assert read_json(tmp_path / "run" / TOLD) == told
    assert [row["file"] for row in told["exports"]] == [SCRIPT, ONNX]
    for row, load in zip(told["exports"], (load_script, load_onnx), strict=True):
        data = (tmp_path / "run" / row["file"]).read_bytes()
        assert row["bytes"] == len(data)
        assert 0 <= row["difference"] < 1e-5
        assert 0 < row["ms"] < 1000
        model = load(data)
        for batch, samples in ((1, 1), (2, 15), (3, 16), (1, 17), (2, 5003)):
            wave = 0.1 * np.random.default_rng(samples).standard_normal((batch, samples))
            with torch.no_grad():
                expected = net.eval()(torch.from_numpy(np.float32(wave))).numpy()
            assert np.abs(model(np.float32(wave)) - expected).max() < 1e-5
            assert samples < 1000 or np.abs(expected - wave).max() > 0.01


def alone(code: str, folder: Path) -> str:
    """What a process prints that has the files and nothing of ours."""
    guard = "import sys; sys.path = [p for p in sys.path if p]\n"
    end = "\nassert not [m for m in sys.modules if m.split('.')[0] in ('training', 'pipeline')]"
    done = subprocess.run(
        [sys.executable, "-c", guard + code + end], capture_output=True, text=True, cwd=folder
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.usefixtures("both")
def test_the_files_run_without_the_project(tmp_path: Path) -> None:
    net = strong("spec").eval()
    export(net, RATE, tmp_path, PORTS)
    wave = np.float32(0.1 * np.random.default_rng(0).standard_normal((2, 3001)))
    np.save(tmp_path / "in.npy", wave)
    alone(
        """
import numpy as np, torch, onnxruntime
wave = np.load("in.npy")
extra = {"rate": ""}
script = torch.jit.load("model.torchscript.pt", _extra_files=extra)
assert extra["rate"] == b"4000", extra
np.save("script.npy", script(torch.from_numpy(wave)).detach().numpy())
state = script.start(2)  # block by block
late, state = script.step(torch.from_numpy(wave[:, :2 * 128]), state)
assert late.shape == (2, 256)
session = onnxruntime.InferenceSession("model.onnx")
assert session.get_modelmeta().custom_metadata_map["rate"] == "4000"
np.save("onnx.npy", session.run(None, {"noisy": wave})[0])
""",
        tmp_path,
    )
    with torch.no_grad():
        expected = net(torch.from_numpy(wave)).numpy()
    for name in ("script", "onnx"):
        assert np.abs(np.load(tmp_path / f"{name}.npy") - expected).max() < 1e-5


@pytest.mark.usefixtures("both")
@pytest.mark.parametrize("wrong", ["value", "shape", "nan"])
def test_one_that_differs_is_refused_and_nothing_stays(
    wrong: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def off(data: bytes) -> Any:
        model = load_onnx(data)

        def run(noisy: np.ndarray) -> np.ndarray:
            clean = model(noisy).copy()
            if clean.shape[1] > 10 * RATE:  # the longest alone
                clean[0, -1] += {"value": 3e-4, "shape": 0, "nan": np.nan}[wrong]
                clean = clean[:, 1:] if wrong == "shape" else clean
            return clean

        return run

    for name in (ONNX, SCRIPT, TOLD, "other"):
        (tmp_path / name).write_text("of another net")
    monkeypatch.setattr(exporting, "load_onnx", off)
    said = r"model\.onnx, batch 1, 40001 samples: an export that differs; expected at most 0\.0001"
    with pytest.raises(RunError, match=said):
        export(strong("spec"), RATE, tmp_path, PORTS)
    assert [path.name for path in tmp_path.iterdir()] == ["other"]


def test_without_onnx_it_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    find = exporting.importlib.util.find_spec
    monkeypatch.setattr(
        exporting.importlib.util,
        "find_spec",
        lambda name: None if name == "onnxruntime" else find(name),
    )
    (tmp_path / ONNX).write_text("of another net")
    told = export(strong("spec"), RATE, tmp_path, PORTS)
    assert {path.name for path in tmp_path.iterdir()} == {SCRIPT, TOLD}
    (line,) = told["left_out"]
    assert line.startswith("model.onnx is left out: pip install onnx")
    assert "onnxruntime, or make torch" in line
    assert line in capsys.readouterr().err


def test_what_is_compared() -> None:
    shapes = [wave.shape for wave in exporting.probes(22050)]
    assert (1, 1) in shapes
    assert (3, 44100) in shapes
    assert any(samples >= 220500 for _, samples in shapes)
    assert sum(samples % 2 for _, samples in shapes) >= 2
    long = exporting.probes(22050)[-1]
    assert np.abs(long).max() <= 1
    assert (long == 0).sum() >= 11025  # silence, where logarithms and roots go wrong
