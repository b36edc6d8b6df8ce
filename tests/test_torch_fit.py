"""The training loop: what a step does, when it stops, what it writes."""

import dataclasses
import math
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

import numpy as np
import torch
from torch import Tensor, nn

from tests import toy
from training.engine import budget, keeper, loop, progress
from training.engine import torch_fit as engine
from training.engine import torch_learner as learner
from training.engine.checkpoint import Checkpoints, load, step_of
from training.engine.settings import Settings
from training.engine.torch_fit import Result, fit
from training.engine.torch_ranks import Ranks
from training.errors import Diverged, RunError
from training.run import Run, opened, read_state

PLAIN = Settings(epochs=2, rate=0.1, schedule="constant", score="-error", save_seconds=0, stop=0)


class Points:
    """One weight w, pulled towards each x: the loss of a batch is mean((w - x)^2) / 2."""

    def __init__(self, values: list[list[float]]) -> None:
        self.values = values
        self.seen: list[tuple[int, int]] = []

    @property
    def steps(self) -> int:
        return len(self.values)

    def epoch(self, epoch: int, first: int = 0) -> Iterator[dict[str, np.ndarray]]:
        for step in range(first, self.steps):
            self.seen.append((epoch, step))
            x = np.array(self.values[step], dtype=np.float32)
            yield {"x": x, "source": np.array([b"s%d%d" % (step, i) for i in range(len(x))])}


class Weight(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.zeros(1))


def pull(model: nn.Module, batch: dict[str, Any]) -> Tensor:
    return ((model.w - batch["x"]) ** 2).mean() / 2


def far(model: nn.Module) -> dict[str, float]:
    return {"error": abs(1.0 - float(model.w.detach()))}


def learn(
    root: Path,
    settings: Settings = PLAIN,
    data: Any = None,
    loss: Any = pull,
    validate: Callable[[nn.Module], dict[str, float]] = far,
    model: nn.Module | None = None,
    groups: Callable[[nn.Module], Any] = lambda model: model.parameters(),
) -> tuple[nn.Module, Result, Run]:
    model = model or Weight()
    data = Points([[1.0, 1.0], [1.0, 3.0]]) if data is None else data
    optimizer = torch.optim.SGD(groups(model), lr=1.0)
    config = dataclasses.asdict(settings)
    with opened(root, "toy", config, {}, name="a", threads=1) as run:
        return model, fit(model, optimizer, loss, data, validate, run, settings), run


def test_steps_by_hand(tmp_path: Path) -> None:
    model, result, run = learn(tmp_path, dataclasses.replace(PLAIN, log_steps=2))
    w, losses = 0.0, []
    for xs in ([1, 1], [1, 3]) * 2:
        losses.append(sum((w - x) ** 2 for x in xs) / 4)
        w -= 0.1 * sum(w - x for x in xs) / 2
    assert float(model.w.detach()) == pytest.approx(w)
    rows = [row for row in run.metrics() if row["kind"] == "train"]
    assert [row["step"] for row in rows] == [2, 4]
    assert rows[1]["loss"] == pytest.approx((losses[2] + losses[3]) / 2)
    assert (rows[1]["rate"], result.state.samples) == (0.1, 8)
    assert result.best["error"] == pytest.approx(1 - w)
    assert (result.why, run.finished) == ("all epochs are done", True)


def test_a_finished_run_is_left_alone(tmp_path: Path) -> None:
    first, _, run = learn(tmp_path)
    before = {p: p.stat().st_mtime_ns for p in run.folder.rglob("*") if p.is_file()}
    data = Points([[1.0, 1.0], [1.0, 3.0]])
    again, result, _ = learn(tmp_path, data=data)
    assert torch.equal(again.w, first.w)
    assert (data.seen, result.state.step) == ([], 4)
    after = {p: p.stat().st_mtime_ns for p in run.folder.rglob("*") if p.is_file()}
    assert {p.name for p in after if before.get(p) != after[p]} <= {"state.json"}


def test_clipping_bounds_the_step_and_reports_the_whole_norm(tmp_path: Path) -> None:
    settings = dataclasses.replace(PLAIN, epochs=1, clip=0.5, log_steps=1)
    model, _, run = learn(tmp_path, settings, Points([[100.0]]))
    assert float(model.w.detach()) == pytest.approx(0.1 * 0.5, rel=1e-4)
    assert run.metrics()[0]["grad_norm"] == pytest.approx(100.0)


def test_the_average_is_scored_and_kept(tmp_path: Path) -> None:
    scored = []

    def validate(model: nn.Module) -> dict[str, float]:
        scored.append(float(model.w.detach()))
        assert not model.training
        return far(model)

    settings = dataclasses.replace(PLAIN, ema=0.5)
    model, _, run = learn(tmp_path, settings, Points([[10.0], [10.0]]), validate=validate)
    w = kept = 0.0
    for update in range(1, 5):
        w += 0.1 * (10 - w)
        decay = min(0.5, (1 + update) / (10 + update))
        kept = decay * kept + (1 - decay) * w
    assert scored[-1] == pytest.approx(kept)
    assert float(model.w.detach()) == pytest.approx(w)
    tree = load(Checkpoints(run.folder).all()[-1])["learner"]
    assert tree["ema"]["w"].item() == pytest.approx(kept)


def test_groups_may_learn_slower_or_be_frozen_at_first(tmp_path: Path) -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w, self.v = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))

    def loss(model: nn.Module, batch: dict[str, Any]) -> Tensor:
        return -(model.w + model.v).sum()

    def groups(model: nn.Module) -> list[dict[str, Any]]:
        return [{"params": [model.w]}, {"params": [model.v], "scale": 0.1, "frozen": 1}]

    model, _, _ = learn(tmp_path, loss=loss, model=Two(), groups=groups)
    assert float(model.w.detach()) == pytest.approx(0.4)
    assert float(model.v.detach()) == pytest.approx(0.02)


def test_stopping_early(tmp_path: Path) -> None:
    errors = iter([3.0, 2.0, 2.5, 2.0, 9.0])
    settings = dataclasses.replace(PLAIN, epochs=9, stop=2)
    _, result, run = learn(tmp_path, settings, validate=lambda model: {"error": next(errors)})
    assert (result.state.step, result.best["step"]) == (8, 4)
    assert result.why == "no better for 2 epochs"
    assert step_of(Checkpoints(run.folder).best()) == 4
    assert run.finished


@pytest.mark.parametrize("kind", ["bf16", "fp16"])
def test_mixed_precision(tmp_path: Path, kind: str) -> None:
    seen = set()

    def loss(model: nn.Module, batch: dict[str, Any]) -> Tensor:
        made = model(batch["x"][:, None])
        seen.add(made.dtype)
        return (made.float() ** 2).mean()

    settings = dataclasses.replace(PLAIN, precision=kind, rate=0.01)
    model, _, run = learn(
        tmp_path, settings, loss=loss, model=nn.Linear(1, 1), validate=lambda m: {"error": 1.0}
    )
    assert seen == {torch.bfloat16 if kind == "bf16" else torch.float16}
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    tree = load(Checkpoints(run.folder).all()[-1])["learner"]
    assert bool(tree["scaler"]) == (kind == "fp16")


def test_the_scaler_skips_an_infinite_gradient_and_the_run_goes_on(tmp_path: Path) -> None:
    settings = dataclasses.replace(PLAIN, precision="fp16", rate=1e-34, log_steps=1)

    def loss(model: nn.Module, batch: dict[str, Any]) -> Tensor:
        return 1e34 * model.w.sum()

    # 1e34 times the scaler's 65536 is more than a float32 holds; half of it is not.
    model, _, run = learn(tmp_path, settings, loss=loss, validate=lambda m: {"error": 1.0})
    assert float(model.w.detach()) == pytest.approx(-3.0)
    norms = [row.get("grad_norm") for row in run.metrics() if row["kind"] == "train"]
    assert norms == [None, *[pytest.approx(1e34)] * 3]
    scale = load(Checkpoints(run.folder).all()[-1])["learner"]["scaler"]["scale"]
    assert scale == 32768.0


def state_of(run_folder: Path) -> tuple[list[str], dict[str, Any]]:
    names = [path.name for path in Checkpoints(run_folder).all()]
    return names, read_state(run_folder)


def test_a_bad_example_stops_before_the_step_and_is_named(tmp_path: Path) -> None:
    data = Points([[1.0, 1.0], [1.0, 3.0], [1.0, math.nan]])
    with pytest.raises(Diverged) as err:
        learn(tmp_path, dataclasses.replace(PLAIN, save_steps=2), data)
    said = str(err.value)
    assert "the loss is nan in epoch 1, batch 3 (step 3 of the run)" in said
    assert "its examples [1]" in said
    assert "source: s21;" in said or "source: s21." in said
    assert err.value.exit_code == 4
    names, state = state_of(tmp_path / "runs/toy/a")
    assert names == ["step-000000002.ckpt"]
    assert (state["state"], "batch 3" in state["stopped"]) == ("unfinished", True)
    w = load(Checkpoints(tmp_path / "runs/toy/a").all()[-1])["learner"]["model"]["w"]
    assert np.isfinite(w).all()


def test_a_bad_gradient_under_a_good_loss_stops_too(tmp_path: Path) -> None:
    def loss(model: nn.Module, batch: dict[str, Any]) -> Tensor:
        return torch.sqrt(model.w.abs()).sum()

    with pytest.raises(Diverged, match="norm of the gradient is (nan|inf).*source: s00, s01"):
        learn(tmp_path, loss=loss)


def test_weights_that_overflow_are_not_saved(tmp_path: Path) -> None:
    settings = dataclasses.replace(PLAIN, rate=3e38, save_steps=1)
    with pytest.raises(Diverged, match="weights that are not numbers after step 1"):
        learn(tmp_path, settings, Points([[100.0], [1.0]]))
    assert state_of(tmp_path / "runs/toy/a")[0] == []


def test_a_score_that_is_no_number_stops_and_saves_nothing(tmp_path: Path) -> None:
    scores = iter([1.0, math.nan])
    with pytest.raises(Diverged, match="validation gives nan after step 4"):
        learn(tmp_path, validate=lambda model: {"error": -next(scores)})
    assert state_of(tmp_path / "runs/toy/a")[0] == ["step-000000002-best.ckpt"]


def test_what_does_not_fit_together_is_said(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"score 'error': not what .*; expected \['other'\]"):
        learn(tmp_path / "a", validate=lambda model: {"other": 1.0})
    with pytest.raises(RunError, match="not one whole batch"):
        learn(tmp_path / "b", data=Points([]))


def test_another_number_of_steps_is_refused(tmp_path: Path) -> None:
    learn(tmp_path)
    with pytest.raises(RunError, match="other steps in an epoch; expected 2; got 3"):
        learn(tmp_path, data=Points([[1.0]] * 3))


def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    learn(tmp_path)
    (tmp_path / "runs/toy/a/config.json").unlink()
    with pytest.raises(RunError, match="a checkpoint of another run"):
        learn(tmp_path, dataclasses.replace(PLAIN, rate=0.2))


def test_threads_are_those_of_the_run(tmp_path: Path) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        learn(tmp_path)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


def test_draws_depend_on_seed_rank_and_step_alone() -> None:
    def draw(*parts: object) -> tuple[float, float, float]:
        learner.seed_all(*parts)
        return float(torch.rand(())), float(np.random.rand()), learner.random.random()  # noqa: NPY002

    assert draw(1, 0, 5) == draw(1, 0, 5)
    assert len({draw(1, 0, 5), draw(2, 0, 5), draw(1, 1, 5), draw(1, 0, 6), draw(1, 0)}) == 5


def test_tensorboard_when_it_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    learn(tmp_path / "with")
    assert len(list((tmp_path / "with/runs/toy/a/tensorboard").iterdir())) == 1
    assert "TensorBoard" not in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "tensorboard.summary.writer.event_file_writer", None)
    learn(tmp_path / "without")
    assert capsys.readouterr().err.count("TensorBoard is not installed") == 1
    assert not (tmp_path / "without/runs/toy/a/tensorboard").exists()


class Clock:
    """Time that passes only where the test says so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        fake = types.SimpleNamespace(monotonic=lambda: self.now, time=lambda: self.now)
        for module in (budget, engine, keeper, loop, progress, sys.modules["training.run"]):
            monkeypatch.setattr(module, "time", fake)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def timed(clock: Clock, step: list[float], score: float) -> tuple[Any, Any]:
    """A loss and a validation that last so long; the last of `step` goes on."""
    left = list(step)

    def loss(model: nn.Module, batch: dict[str, Any]) -> Tensor:
        clock.now += left.pop(0) if len(left) > 1 else left[0]
        return pull(model, batch)

    def validate(model: nn.Module) -> dict[str, float]:
        clock.now += score
        return far(model)

    return loss, validate


def test_a_budget_plans_steps_and_schedule(
    tmp_path: Path, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = dataclasses.replace(PLAIN, epochs=100, budget=300.0, schedule="cosine", log_steps=1)
    loss, validate = timed(clock, [9.0, 9.0, 1.0], 5.0)  # the first two are slow, and not counted
    data = Points([[1.0]] * 20)
    model, result, run = learn(tmp_path, settings, data, loss, validate)
    # rehearsed: 18 + 4 + 5 s; an epoch lasts 25 s; 285 - 27 s hold 10 of them and 3 steps
    assert result.state.total == 10 * 20 + 3
    assert 270 < clock.now - 1000 <= 285
    assert result.why == "the budget is used"
    assert "planned 203 of 2000 steps (10.2 epochs) in 300 s: 1 s a step" in capsys.readouterr().err
    rates = [row["rate"] for row in run.metrics() if row["kind"] == "train"]
    assert rates[0] == 0.1  # what was rehearsed was taken back
    assert rates[-1] < 1e-4  # the schedule ends where the run does
    assert float(run.metrics()[0]["loss"]) == 0.5


def test_a_budget_counts_what_was_used_before_a_kill(tmp_path: Path, clock: Clock) -> None:
    settings = dataclasses.replace(PLAIN, epochs=100, budget=300.0, log_steps=1)
    loss, validate = timed(clock, [1.0], 5.0)
    calls = iter(range(1000))

    def killed(model: nn.Module, batch: dict[str, Any]) -> Tensor:
        if next(calls) == 150:
            raise KeyboardInterrupt
        return loss(model, batch)

    data = Points([[1.0]] * 20)
    with pytest.raises(KeyboardInterrupt):
        learn(tmp_path, settings, data, killed, validate)
    used = clock.now - 1000
    clock.now += 10_000.0  # nobody works
    began = clock.now
    _, result, _ = learn(tmp_path, settings, data, loss, validate)
    assert used + clock.now - began <= 300
    assert used + clock.now - began > 250
    assert result.state.seconds == pytest.approx(used + clock.now - began, abs=1)


def test_a_budget_holds_when_steps_become_slower(
    tmp_path: Path, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = dataclasses.replace(PLAIN, epochs=100, budget=300.0)
    loss, validate = timed(clock, [1.0] * 40 + [4.0], 5.0)
    _, result, run = learn(tmp_path, settings, Points([[1.0]] * 20), loss, validate)
    assert 250 < clock.now - 1000 <= 300
    assert "steps last longer than planned" in capsys.readouterr().err
    assert result.state.history[-1]["step"] == result.state.step == result.state.total
    assert run.finished


def test_a_budget_holds_inside_an_epoch(tmp_path: Path, clock: Clock) -> None:
    settings = dataclasses.replace(PLAIN, budget=100.0)
    loss, validate = timed(clock, [1.0] * 20 + [4.0], 5.0)
    _, result, run = learn(tmp_path, settings, Points([[1.0]] * 100), loss, validate)
    assert 80 < clock.now - 1000 <= 100
    assert (len(result.state.history), run.finished) == (1, True)


def test_too_small_a_budget(tmp_path: Path, clock: Clock) -> None:
    loss, validate = timed(clock, [1.0], 5.0)
    with pytest.raises(RunError, match="too small a budget"):
        learn(tmp_path, dataclasses.replace(PLAIN, budget=8.0), None, loss, validate)


def test_saving_by_the_clock(tmp_path: Path, clock: Clock) -> None:
    loss, validate = timed(clock, [1.0], 0.0)
    saved = []

    class Watched(Points):
        def epoch(self, epoch: int, first: int = 0) -> Iterator[dict[str, np.ndarray]]:
            for batch in super().epoch(epoch, first):
                folder = tmp_path / "runs/toy/a/checkpoints"
                saved.append(max(map(step_of, folder.glob("*.ckpt")), default=0))
                yield batch

    settings = dataclasses.replace(PLAIN, epochs=1, save_seconds=3.0)
    learn(tmp_path, settings, Watched([[1.0]] * 10), loss, validate)
    assert saved == [0, 0, 0, 3, 3, 3, 6, 6, 6, 9]


def test_progress_says_what_matters(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    def slow() -> Iterator[int]:
        for number in range(10):
            clock.now += 1.0
            yield number

    with progress.Progress(10, 40, 20) as bar:
        for _ in bar.waited(slow()):
            clock.now += 3.0
            bar.step({"loss": 0.5, "grad_norm": 1.0, "gain": 2.0}, 8, 40)
    line = "epoch 1/2  step 20/40  loss 0.5  gain 2  2 examples/s  waiting 25.0%  1:20 left"
    assert bar.line() == line
    shown = capsys.readouterr().err.splitlines()
    assert len(shown) == 3  # one in ten seconds
    assert shown[0].startswith("epoch 1/2  step 13/40")


def test_a_loader_thread_is_gone_after_training(tmp_path: Path) -> None:
    import threading

    before = threading.active_count()
    with opened(tmp_path, "toy", {}, {}, name="a", threads=1) as run:
        toy.train(
            run, dataclasses.replace(toy.SETTINGS, epochs=1), toy.Numbers(ahead=True), Ranks()
        )
    assert threading.active_count() == before
