"""The training loop under Keras' fit: what a step does, when it stops, what it writes.

Reads and writes only in pytest's own folders.
"""

import dataclasses
import math
import os
import signal
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("tensorflow")

import keras
import numpy as np
import tensorflow as tf

from training.data.batches import Share
from training.engine import budget, keeper, keras_fit, keras_learner, loop, progress
from training.engine.checkpoint import Checkpoints, load, step_of
from training.engine.keras_fit import Result, fit
from training.engine.keras_ranks import Ranks
from training.engine.settings import Settings
from training.errors import Changed, Diverged, Interrupted, RunError
from training.profiles import SEEDS
from training.run import Run, opened, read_state

PLAIN = Settings(epochs=2, rate=0.1, schedule="constant", score="-error", save_seconds=0, stop=0)


class Points:
    """One weight w, pulled towards each x: the loss of an example is (w - x)^2 / 2."""

    def __init__(self, values: list[list[float]]) -> None:
        self.values, self.batch = values, len(values[0]) if values else 1
        self.seen: list[tuple[int, int]] = []

    @property
    def steps(self) -> int:
        return len(self.values)

    def epoch(
        self, epoch: int, first: int = 0, share: Share = Share(), parts: int = 1  # noqa: B008
    ) -> tf.data.Dataset:  # fmt: skip
        def made() -> Iterator[dict[str, np.ndarray]]:
            for step in range(first, self.steps):
                self.made(epoch, step)
                yield {"x": np.array(self.values[step], np.float32)}

        each = {"x": tf.TensorSpec((self.batch,), tf.float32)}
        options = tf.data.Options()  # made when they are asked for, not before
        options.experimental_optimization.inject_prefetch = False
        return tf.data.Dataset.from_generator(made, output_signature=each).with_options(options)

    def made(self, epoch: int, step: int) -> None:
        self.seen.append((epoch, step))

    def sources(self, epoch: int, step: int) -> list[str]:
        return [f"s{step}{i}" for i in range(self.batch)]


@keras.saving.register_keras_serializable("tests")
class Weight(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.w = self.add_weight(shape=(1,), initializer="zeros", name="w")
        self.built = True

    def call(self, inputs: Any) -> Any:
        return self.w * inputs


def pull(net: keras.Model, batch: dict[str, Any], seed: Any) -> tuple[Any, dict[str, Any]]:
    return (net.w - batch["x"]) ** 2 / 2, {}


def rise(net: keras.Model, batch: dict[str, Any], seed: Any) -> tuple[Any, dict[str, Any]]:
    """Moves w up by the rate; tells of w before the step, and of a draw."""
    draw = tf.random.stateless_uniform(tf.shape(batch["x"]), seed)
    return -net.w + 0 * batch["x"], {"w": net.w + 0 * batch["x"], "draw": draw}


def value(net: keras.Model) -> float:
    return float(net.w.numpy().item())


def far(net: keras.Model) -> dict[str, float]:
    return {"error": abs(1.0 - value(net))}


def learn(
    root: Path,
    settings: Settings = PLAIN,
    data: Any = None,
    loss: Any = pull,
    validate: Callable[[keras.Model], dict[str, float]] = far,
    net: Callable[[], keras.Model] = Weight,
) -> tuple[Any, Result, Run]:
    data = Points([[1.0, 1.0], [1.0, 3.0]]) if data is None else data
    held: list[keras.Model] = []

    def kept() -> keras.Model:
        held.append(net())
        return held[0]

    config, ranks = dataclasses.asdict(settings), Ranks(tf.distribute.get_strategy())
    with opened(root, "toy", config, {}, name="a", threads=1) as run:
        result = fit(
            kept, lambda: keras.optimizers.SGD(1.0), loss, data, validate, run, settings, ranks
        )
    return held[0], result, run


def of(run: Run, kind: str = "train") -> list[dict[str, Any]]:
    return [row for row in run.metrics() if row["kind"] == kind]


def newest(run: Run) -> dict[str, Any]:
    learner: dict[str, Any] = load(Checkpoints(run.folder).all()[-1])["learner"]
    return learner


def test_steps_by_hand(tmp_path: Path) -> None:
    net, result, run = learn(tmp_path, dataclasses.replace(PLAIN, log_steps=2))
    w, losses, norms = 0.0, [], []
    for xs in ([1, 1], [1, 3]) * 2:
        losses.append(sum((w - x) ** 2 for x in xs) / 4)
        norms.append(abs(sum(w - x for x in xs) / 2))
        w -= 0.1 * sum(w - x for x in xs) / 2
    assert value(net) == pytest.approx(w)
    rows = of(run)
    assert [row["step"] for row in rows] == [2, 4]
    assert rows[1]["loss"] == pytest.approx((losses[2] + losses[3]) / 2)
    assert rows[1]["grad_norm"] == pytest.approx((norms[2] + norms[3]) / 2)
    assert set(rows[0]) == {"kind", "step", "seconds", "loss", "grad_norm", "rate"}
    assert [set(row) for row in of(run, "valid")] == [{"kind", "step", "seconds", "error"}] * 2
    assert (rows[1]["rate"], result.state.samples) == (0.1, 8)
    assert result.best["error"] == pytest.approx(1 - w)
    assert (result.why, run.finished) == ("all epochs are done", True)


def test_a_finished_run_is_left_alone(tmp_path: Path) -> None:
    first, _, run = learn(tmp_path)
    before = {p: p.stat().st_mtime_ns for p in run.folder.rglob("*") if p.is_file()}
    data = Points([[1.0, 1.0], [1.0, 3.0]])
    again, result, _ = learn(tmp_path, data=data)
    assert value(again) == value(first)
    assert (data.seen, result.state.step) == ([], 4)
    after = {p: p.stat().st_mtime_ns for p in run.folder.rglob("*") if p.is_file()}
    assert {p.name for p in after if before.get(p) != after[p]} <= {"state.json"}


def test_a_step_is_traced_once_for_the_whole_run(tmp_path: Path) -> None:
    """And each batch is asked for once."""
    calls = []

    def loss(net: keras.Model, batch: dict[str, Any], seed: Any) -> tuple[Any, dict[str, Any]]:
        calls.append(1)
        return pull(net, batch, seed)

    data = Points([[1.0, 1.0], [1.0, 3.0]])
    learn(tmp_path, dataclasses.replace(PLAIN, epochs=4), data, loss)
    assert len(calls) == 1
    assert data.seen == [(epoch, step) for epoch in range(4) for step in range(2)]


def test_clipping_bounds_the_step_and_reports_the_whole_norm(tmp_path: Path) -> None:
    settings = dataclasses.replace(PLAIN, epochs=1, clip=0.5, log_steps=1)
    net, _, run = learn(tmp_path, settings, Points([[100.0]]))
    assert value(net) == pytest.approx(0.1 * 0.5, rel=1e-4)
    assert run.metrics()[0]["grad_norm"] == pytest.approx(100.0)


def test_the_average_is_scored_and_kept(tmp_path: Path) -> None:
    scored = []

    def validate(net: keras.Model) -> dict[str, float]:
        scored.append(value(net))
        return far(net)

    settings = dataclasses.replace(PLAIN, ema=0.5)
    net, _, run = learn(tmp_path, settings, Points([[10.0], [10.0]]), validate=validate)
    w = kept = 0.0
    for update in range(1, 5):
        w += 0.1 * (10 - w)
        decay = min(0.5, (1 + update) / (10 + update))
        kept = decay * kept + (1 - decay) * w
    assert scored[-1] == pytest.approx(kept)
    assert value(net) == pytest.approx(w)
    assert newest(run)["ema"]["0000 w"].item() == pytest.approx(kept)
    assert newest(run)["model"]["0000 w"].item() == pytest.approx(w)


@pytest.mark.parametrize("precision", ["float32", "fp16"])
def test_the_schedule_reaches_the_optimizer_at_each_step(tmp_path: Path, precision: str) -> None:
    settings = dataclasses.replace(
        PLAIN, epochs=4, schedule="cosine", warmup=4, log_steps=1, precision=precision
    )
    net, _, run = learn(tmp_path, settings, Points([[0.0]] * 5), rise)
    rates = [row["rate"] for row in of(run)]
    want = [0.1 * (i + 1) / 4 for i in range(4)]
    want += [0.1 * (1 + math.cos(math.pi * i / 16)) / 2 for i in range(16)]
    assert rates == pytest.approx(want)
    moved = np.diff([row["w"] for row in of(run)] + [value(net)])
    assert moved == pytest.approx(want, rel=1e-4)


def test_stopping_early(tmp_path: Path) -> None:
    errors = iter([3.0, 2.0, 2.5, 2.0, 9.0])
    settings = dataclasses.replace(PLAIN, epochs=9, stop=2)
    _, result, run = learn(tmp_path, settings, validate=lambda net: {"error": next(errors)})
    assert (result.state.step, result.best["step"]) == (8, 4)
    assert result.why == "no better for 2 epochs"
    assert step_of(Checkpoints(run.folder).best()) == 4
    assert run.finished


@pytest.mark.parametrize("kind", ["bf16", "fp16"])
def test_mixed_precision(tmp_path: Path, kind: str) -> None:
    seen = set()

    def net() -> keras.Model:
        return keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])

    def loss(net: keras.Model, batch: dict[str, Any], seed: Any) -> tuple[Any, dict[str, Any]]:
        made = net(batch["x"][:, None])
        seen.add(made.dtype)
        return tf.cast(made[:, 0], tf.float32) * 0.01, {}

    settings = dataclasses.replace(PLAIN, precision=kind, rate=0.01)
    made, _, run = learn(tmp_path, settings, None, loss, lambda net: {"error": 1.0}, net)
    assert seen == {tf.bfloat16 if kind == "bf16" else tf.float16}
    assert {v.dtype for v in made.variables} == {"float32"}
    assert keras.mixed_precision.dtype_policy().name == "float32"
    # The scaler's: what the loss is times, as no gradient was infinite.
    numbers = [array.tolist() for array in newest(run)["optimizer"]]
    assert (32768.0 in numbers) == (kind == "fp16"), numbers


def test_the_policy_is_as_before_after_an_error(tmp_path: Path) -> None:
    def broken() -> keras.Model:
        assert keras.mixed_precision.dtype_policy().name == "mixed_bfloat16"
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        learn(tmp_path, dataclasses.replace(PLAIN, precision="bf16"), net=broken)
    assert keras.mixed_precision.dtype_policy().name == "float32"


def test_the_scaler_skips_an_infinite_gradient_and_the_run_goes_on(tmp_path: Path) -> None:
    settings = dataclasses.replace(PLAIN, precision="fp16", log_steps=1)

    def loss(net: keras.Model, batch: dict[str, Any], seed: Any) -> tuple[Any, dict[str, Any]]:
        return tf.cast(3 * tf.cast(net.w, tf.float16), tf.float32) + 0 * batch["x"], {}

    # 3 times the scaler's 32768 is more than a float16 holds; half of it is not.
    net, _, run = learn(tmp_path, settings, loss=loss, validate=lambda net: {"error": 1.0})
    assert value(net) == pytest.approx(-0.9)
    assert [row.get("grad_norm") for row in of(run)] == [None, *[pytest.approx(3.0)] * 3]
    assert 16384.0 in [array.tolist() for array in newest(run)["optimizer"]]


def stopped(root: Path) -> tuple[list[str], dict[str, Any]]:
    folder = root / "runs/toy/a"
    return [path.name for path in Checkpoints(folder).all()], read_state(folder)


def test_a_bad_example_stops_before_anything_is_saved_and_is_named(tmp_path: Path) -> None:
    data = Points([[1.0, 1.0], [1.0, 3.0], [1.0, math.nan]])
    with pytest.raises(Diverged) as err:
        learn(tmp_path, dataclasses.replace(PLAIN, save_steps=2), data)
    said = str(err.value)
    assert "the loss is nan in epoch 1, batch 3 (step 3 of the run); source: s20, s21" in said
    assert err.value.exit_code == 4
    names, state = stopped(tmp_path)
    assert names == ["step-000000002.ckpt"]
    assert (state["state"], "batch 3" in state["stopped"]) == ("unfinished", True)
    held = load(Checkpoints(tmp_path / "runs/toy/a").all()[-1])["learner"]["model"]["0000 w"]
    assert np.isfinite(held).all()


def test_a_bad_gradient_under_a_good_loss_stops_too(tmp_path: Path) -> None:
    def loss(net: keras.Model, batch: dict[str, Any], seed: Any) -> tuple[Any, dict[str, Any]]:
        return tf.sqrt(tf.abs(net.w)) + 0 * batch["x"], {}

    with pytest.raises(Diverged, match="norm of the gradient is (nan|inf).*source: s00, s01"):
        learn(tmp_path, loss=loss)


def test_weights_that_overflow_are_not_saved(tmp_path: Path) -> None:
    settings = dataclasses.replace(PLAIN, rate=3e38, save_steps=1)
    with pytest.raises(Diverged, match="weights that are not numbers after step 1"):
        learn(tmp_path, settings, Points([[100.0], [1.0]]))
    assert stopped(tmp_path)[0] == []


def test_a_score_that_is_no_number_stops_and_saves_nothing(tmp_path: Path) -> None:
    scores = iter([1.0, math.nan])
    with pytest.raises(Diverged, match="validation gives nan after step 4"):
        learn(tmp_path, validate=lambda net: {"error": -next(scores)})
    assert stopped(tmp_path)[0] == ["step-000000002-best.ckpt"]


def test_what_does_not_fit_together_is_said(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"score 'error': not what .*; expected \['other'\]"):
        learn(tmp_path / "a", validate=lambda net: {"other": 1.0})
    with pytest.raises(RunError, match="not one whole batch"):
        learn(tmp_path / "b", data=Points([]))


def test_changes_are_refused(tmp_path: Path) -> None:
    learn(tmp_path)
    with pytest.raises(Changed, match=r"expected config.rate = 0.1; got 0.2"):
        learn(tmp_path, dataclasses.replace(PLAIN, rate=0.2))
    with pytest.raises(RunError, match="other steps in an epoch; expected 2; got 3"):
        learn(tmp_path, data=Points([[1.0]] * 3))
    (tmp_path / "runs/toy/a/config.json").unlink()
    with pytest.raises(RunError, match="a checkpoint of another run"):
        learn(tmp_path, dataclasses.replace(PLAIN, rate=0.2))


def test_weights_of_another_net_are_refused() -> None:
    def net(*sizes: int) -> keras.Model:
        return keras.Sequential([keras.Input((2,)), *map(keras.layers.Dense, sizes)])

    held = keras_learner.variables(net(3, 1))
    again = net(3, 1)
    keras_learner.given(again, held)
    for name, array in keras_learner.variables(again).items():
        assert np.array_equal(array, held[name])
    with pytest.raises(Changed, match=r"weights of another net; expected \(2, 4\); got \(2, 3\)"):
        keras_learner.given(net(4, 1), held)
    wrong = ("expected 2 arrays; got 4", r"expected \(1, 1\); got none")
    for other, said in zip((net(3), net(3, 1, 1)), wrong, strict=True):
        before = keras_learner.variables(other)
        with pytest.raises(Changed, match=f"weights of another net; {said}"):
            keras_learner.given(other, held)
        for name, array in keras_learner.variables(other).items():
            assert np.array_equal(array, before[name])


def at_step(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """SIGTERM before the `step`-th step."""
    steps = iter(range(1, 1000))

    def point(name: str) -> None:
        if next(steps) == step:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(keras_fit, "fault_point", point)


def test_a_signal_saves_and_the_draws_depend_on_the_step_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = dataclasses.replace(PLAIN, log_steps=1, seed=5)
    data = Points([[0.0], [0.0], [0.0]])
    net, _, run = learn(tmp_path / "a", settings, data, rise)
    at_step(monkeypatch, 2)
    with pytest.raises(Interrupted, match="everything is saved") as err:
        learn(tmp_path / "b", settings, data, rise)
    assert err.value.exit_code == 128 + signal.SIGTERM
    assert stopped(tmp_path / "b")[0] == ["step-000000002.ckpt"]
    assert "interrupted" in stopped(tmp_path / "b")[1]["stopped"]
    data.seen.clear()
    again, _, other = learn(tmp_path / "b", settings, data, rise)
    assert data.seen == [(0, 2), (1, 0), (1, 1), (1, 2)]
    draws = [row["draw"] for row in of(run)]
    assert [row["draw"] for row in of(other)] == draws
    assert len(set(draws)) == 6
    assert value(again) == value(net)
    largest = dataclasses.replace(settings, seed=SEEDS - 1)  # more than 32 bits, with REPLICAS
    _, _, third = learn(tmp_path / "c", largest, data, rise)
    assert not set(draws) & {row["draw"] for row in of(third)}


def test_tensorboard_has_the_curves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = "tensorboard.backend.event_processing.event_accumulator"
    monkeypatch.setitem(sys.modules, "tensorboard.compat.notf", types.ModuleType("notf"))
    reader = pytest.importorskip(place, reason="no TensorBoard")
    _, _, run = learn(tmp_path, dataclasses.replace(PLAIN, log_steps=1))
    folder = run.folder / "tensorboard"
    assert len(list(folder.iterdir())) == 1
    found = reader.EventAccumulator(str(folder), size_guidance={"scalars": 0})
    found.Reload()
    assert set(found.Tags()["scalars"]) == {
        "train/loss", "train/grad_norm", "train/rate", "valid/error",
    }  # fmt: skip
    points = [(point.step, point.value) for point in found.Scalars("train/loss")]
    assert points == [(row["step"], pytest.approx(row["loss"])) for row in of(run)]


class Clock:
    """Time that passes only where the test says so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        fake = types.SimpleNamespace(monotonic=lambda: self.now, time=lambda: self.now)
        mine = (budget, keras_fit, keras_learner, keeper, loop, progress)
        for module in (*mine, sys.modules["training.run"]):
            monkeypatch.setattr(module, "time", fake)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


class Slow(Points):
    """Batches that are waited for so long; the last of `seconds` goes on."""

    def __init__(self, steps: int, clock: Clock, seconds: list[float]) -> None:
        super().__init__([[1.0]] * steps)
        self.clock, self.left = clock, list(seconds)

    def made(self, epoch: int, step: int) -> None:
        self.clock.now += self.left.pop(0) if len(self.left) > 1 else self.left[0]


def scoring(clock: Clock, seconds: float) -> Callable[[keras.Model], dict[str, float]]:
    def validate(net: keras.Model) -> dict[str, float]:
        clock.now += seconds
        return far(net)

    return validate


def test_waiting_for_data_is_counted(tmp_path: Path, clock: Clock) -> None:
    _, result, _ = learn(tmp_path, PLAIN, Slow(4, clock, [3.0]), validate=scoring(clock, 4.0))
    assert result.wait == pytest.approx(24 / 32)


def test_a_budget_plans_steps_and_schedule(
    tmp_path: Path, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = dataclasses.replace(PLAIN, epochs=100, budget=300.0, schedule="cosine", log_steps=1)
    data = Slow(20, clock, [9.0, 9.0, 1.0])  # the first two are slow, and not counted
    net, result, run = learn(tmp_path, settings, data, validate=scoring(clock, 5.0))
    # rehearsed: 18 + 4 + 5 s; an epoch lasts 25 s; 285 - 27 s hold 10 of them and 3 steps
    assert result.state.total == 10 * 20 + 3
    assert 270 < clock.now - 1000 <= 285
    assert "planned 203 of 2000 steps" in capsys.readouterr().err
    assert result.why == "the budget is used"
    w, half = 0.0, math.pi / 203  # the rehearsed steps are taken back, and count for nothing
    for step in range(203):
        w += 0.05 * (1 + math.cos(step * half)) * (1 - w)
    assert value(net) == pytest.approx(w, rel=1e-4)
    assert [row["step"] for row in of(run)] == list(range(1, 204))


def test_a_budget_holds_inside_an_epoch(tmp_path: Path, clock: Clock) -> None:
    settings = dataclasses.replace(PLAIN, budget=100.0)
    data = Slow(100, clock, [1.0] * 20 + [4.0])
    _, result, run = learn(tmp_path, settings, data, validate=scoring(clock, 5.0))
    assert 80 < clock.now - 1000 <= 100
    assert (len(result.state.history), run.finished) == (1, True)
