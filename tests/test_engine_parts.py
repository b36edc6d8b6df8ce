"""A batch worked in parts: the same step as in one, by hand too; other draws; stopped and resumed.

Reads and writes only in pytest's own folders. Devices side by side are a process of their own.
"""

import functools
import json
import os
import signal
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

import keras  # noqa: E402
from keras import layers  # noqa: E402

from tests import toy_keras, trainings  # noqa: E402
from tests.trainings import KERAS  # noqa: E402
from training.data.batches import Share  # noqa: E402
from training.engine import keras_fit  # noqa: E402
from training.engine.checkpoint import Checkpoints  # noqa: E402
from training.engine.keras_fit import fit  # noqa: E402
from training.engine.keras_learner import variables  # noqa: E402
from training.engine.keras_ranks import Ranks  # noqa: E402
from training.engine.settings import Settings  # noqa: E402
from training.errors import Interrupted  # noqa: E402
from training.run import Run, opened  # noqa: E402

ONE = Settings(
    epochs=1, rate=0.1, schedule="constant", score="-error", save_seconds=0, stop=0, log_steps=1
)
Net = Callable[[], keras.Model]


class Batches:
    """Numbers in batches of a size, shuffled by the epoch where several make one."""

    def __init__(self, batch: int, steps: int = 1) -> None:
        random = np.random.default_rng(1)
        self.batch, self.steps = batch, steps
        self.x = random.standard_normal((batch * steps, 12, 10, 1)).astype(np.float32)
        self.y = random.standard_normal((batch * steps, 1)).astype(np.float32)

    def rows(self, epoch: int) -> np.ndarray:
        order = np.random.default_rng(epoch).permutation(self.batch * self.steps)
        return order.reshape(self.steps, self.batch)

    def epoch(
        self, epoch: int, first: int = 0, share: Share = Share(), parts: int = 1  # noqa: B008
    ) -> tf.data.Dataset:  # fmt: skip
        rows = self.rows(epoch)[first:]
        made = tf.data.Dataset.from_tensor_slices({"x": self.x[rows], "y": self.y[rows]})
        options = tf.data.Options()
        options.autotune.enabled = False  # its thread lets who frees an iterator wait, for seconds
        made = made.unbatch().batch(self.batch // parts, drop_remainder=True)
        return made.with_options(options)

    def sources(self, epoch: int, step: int) -> list[str]:
        return [f"s{row}" for row in self.rows(epoch)[step]]


def plain() -> keras.Model:
    """Two convolutions; nothing that looks at a batch as a whole, nothing drawn."""
    keras.utils.set_random_seed(0)
    x = given = keras.Input((12, 10, 1))
    for filters in (6, 4):
        x = layers.Conv2D(filters, 3, activation="tanh", padding="same")(x)
    return keras.Model(given, layers.Dense(1)(layers.Flatten()(x)))


def drawing() -> keras.Model:
    """With a state of its own that each part moves on."""
    keras.utils.set_random_seed(0)
    x = given = keras.Input((12, 10, 1))
    x = layers.Dense(8)(layers.Flatten()(x))
    x = layers.Dropout(0.3, seed=3)(layers.BatchNormalization()(x))
    return keras.Model(given, layers.Dense(1)(x))


def mean_square(net: keras.Model, batch: dict[str, Any], seed: Any) -> tuple[Any, dict[str, Any]]:
    made = tf.cast(net(batch["x"], training=True), tf.float32)
    error = tf.reduce_mean((made - batch["y"]) ** 2, axis=1)
    return error, {"root": tf.sqrt(error)}


def noisy(net: keras.Model, batch: dict[str, Any], seed: Any) -> tuple[Any, dict[str, Any]]:
    noise = tf.random.stateless_normal(tf.shape(batch["x"]), seed)
    return mean_square(net, batch | {"x": batch["x"] + noise}, seed)


def learn(
    root: Path,
    parts: int,
    data: Batches,
    net: Net = plain,
    settings: Settings = ONE,
    loss: Any = mean_square,
) -> tuple[dict[str, np.ndarray], Run]:
    """What was learnt, and the run."""
    held: list[keras.Model] = []

    def kept() -> keras.Model:
        held.append(net())
        return held[-1]

    ranks = Ranks(tf.distribute.get_strategy())
    optimizer = lambda: keras.optimizers.SGD(settings.rate, momentum=0.9)  # noqa: E731
    with opened(root, "toy", asdict(settings), {}, name="a", threads=1) as run:
        fit(kept, optimizer, loss, data, lambda net: {"error": 1.0}, run, settings, ranks, parts)
    return variables(held[0]), run


def rows(run: Run) -> list[dict[str, Any]]:
    """What was told of steps."""
    return [
        {name: value for name, value in row.items() if name != "seconds"}
        for row in run.metrics()
        if row["kind"] == "train"
    ]


def close(found: dict[str, np.ndarray], wanted: dict[str, np.ndarray], part: float = 1e-6) -> bool:
    """Each array, to a part of its largest number."""
    assert list(found) == list(wanted)
    return all(np.abs(found[n] - wanted[n]).max() < part * np.abs(wanted[n]).max() for n in wanted)


# ------------------------------------------------------------------ one step


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, np.ndarray], Run]:
    return learn(tmp_path_factory.mktemp("whole"), 1, Batches(12))


@pytest.mark.parametrize("parts", [2, 4, 12])
def test_a_step_in_parts_is_the_step(
    tmp_path: Path, whole: tuple[dict[str, np.ndarray], Run], parts: int
) -> None:
    found, run = learn(tmp_path, parts, Batches(12))
    wanted, other = whole
    assert close(found, wanted)
    assert not close(wanted, variables(plain()), 0.01)  # it was a step that can be seen
    ((told,), (before,)) = rows(run), rows(other)
    assert set(told) == {"kind", "step", "loss", "grad_norm", "root", "rate"}
    for name in ("loss", "grad_norm", "root"):
        assert told[name] == pytest.approx(before[name], rel=1e-6)


def linear() -> keras.Model:
    given = keras.Input((12, 10, 1))
    return keras.Model(given, layers.Dense(1, kernel_initializer="zeros")(layers.Flatten()(given)))


@pytest.mark.parametrize(
    ("batch", "parts"), [(6, 1), (6, 3), (6, 6), (7, 3), (10, 4), (11, 8)], ids=str
)
def test_a_linear_net_moves_as_by_hand(tmp_path: Path, batch: int, parts: int) -> None:
    """Down the gradient of the mean square error, from zero: 2 / n of X'y, by the rate. Every
    example counts as much as the others, where parts are uneven too."""
    data = Batches(batch)
    found, run = learn(tmp_path, parts, data, linear)
    x, y = data.x.reshape(batch, -1).astype(np.float64), data.y.astype(np.float64)
    kernel, bias = list(found.values())
    np.testing.assert_allclose(kernel, 0.1 * 2 / batch * x.T @ y, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(bias, 0.1 * 2 * y.mean(0), rtol=1e-5)
    (told,) = rows(run)
    assert told["loss"] == pytest.approx(np.mean(y**2))
    assert told["root"] == pytest.approx(np.mean(np.abs(y)))
    gradient = np.append(x.T @ y, y.sum()) * 2 / batch
    assert told["grad_norm"] == pytest.approx(np.linalg.norm(gradient))


def test_clipping_is_of_the_whole_gradient(tmp_path: Path) -> None:
    """Not of each part's: two of them cancel here."""
    data = Batches(2)
    data.x[1], data.y[:] = -data.x[0], [[1.0], [1.0]]
    settings = replace(ONE, clip=0.5)
    found, run = learn(tmp_path, 2, data, linear, settings)
    kernel, bias = list(found.values())
    assert np.abs(kernel).max() < 1e-6
    assert bias == pytest.approx(0.1 * 0.5, rel=1e-5)
    assert rows(run)[0]["grad_norm"] == pytest.approx(2.0)


def test_half_precision_is_scaled_in_every_part_alike(tmp_path: Path) -> None:
    settings = replace(ONE, precision="fp16")
    wanted, found = (
        learn(tmp_path / str(parts), parts, Batches(8), linear, settings)[0] for parts in (1, 4)
    )
    assert close(found, wanted, 2e-3)  # what a float16 holds
    assert np.abs(found["0000 kernel"]).max() > 0.01


# ------------------------------------------------------------------ what is drawn


class Seen:
    """A loss that notes how many examples it is asked for at once, and their seed."""

    def __init__(self) -> None:
        self.held = tf.Variable(tf.zeros((64, 3), tf.int32))
        self.count = tf.Variable(0)

    def __call__(
        self, net: keras.Model, batch: dict[str, Any], seed: Any
    ) -> tuple[Any, dict[str, Any]]:
        told = tf.concat([[tf.shape(batch["x"])[0]], seed], 0)
        self.held.scatter_nd_update([[self.count]], [told])
        self.count.assign_add(1)
        return mean_square(net, batch, seed)

    @property
    def all(self) -> list[list[int]]:
        found: list[list[int]] = self.held[: self.count].numpy().tolist()
        return found


def test_every_part_of_every_step_has_draws_of_its_own(tmp_path: Path) -> None:
    found = []
    for parts, seed in ((1, 5), (3, 5), (3, 6)):
        seen, settings = Seen(), replace(ONE, epochs=2, seed=seed)
        learn(tmp_path / f"{parts}-{seed}", parts, Batches(6, 4), linear, settings, seen)
        found.append(seen.all)
    assert [[one[0] for one in each] for each in found] == [[6] * 8, [2] * 24, [2] * 24]
    seeds = [tuple(one) for each in found for one in each]
    assert len(set(seeds)) == len(seeds)


def test_dropout_draws_anew_in_every_part(tmp_path: Path) -> None:
    """Of two equal halves, the same would be dropped otherwise: their mean would be either's."""

    def net() -> keras.Model:
        given = keras.Input((12, 10, 1))
        x = layers.Dropout(0.5, seed=1)(layers.Flatten()(given))
        return keras.Model(given, layers.Dense(1, kernel_initializer="ones")(x))

    def loss(net: keras.Model, batch: dict[str, Any], seed: Any) -> tuple[Any, dict[str, Any]]:
        made = net(batch["x"], training=True)[:, 0]
        return made**2, {"made": made}

    data = Batches(2)
    data.x[1] = data.x[0]
    _, run = learn(tmp_path, 2, data, net, loss=loss)
    (told,) = rows(run)
    assert told["loss"] - told["made"] ** 2 > 0.1  # the variance of the two


# ------------------------------------------------------------------ stopped and resumed


def stopped_before(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    counted = iter(range(1, 1000))

    def point(name: str) -> None:
        if next(counted) == step:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(keras_fit, "fault_point", point)


STATED = replace(ONE, epochs=2, ema=0.9, seed=4)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, np.ndarray], Run]:
    """Two epochs of three steps, in two parts each, with batch statistics, dropout and noise."""
    return learn(tmp_path_factory.mktemp("undisturbed"), 2, Batches(6, 3), drawing, STATED, noisy)


@pytest.mark.parametrize("step", [2, 3])
def test_a_run_in_parts_goes_on_as_if_nothing_had_been(
    tmp_path: Path,
    undisturbed: tuple[dict[str, np.ndarray], Run],
    monkeypatch: pytest.MonkeyPatch,
    step: int,
) -> None:
    """Bit for bit: amid an epoch, and at its end."""
    wanted, run = undisturbed
    stopped_before(step, monkeypatch)
    with pytest.raises(Interrupted):
        learn(tmp_path, 2, Batches(6, 3), drawing, STATED, noisy)
    saved = Checkpoints(tmp_path / "runs/toy/a").all()[-1]
    assert saved.name == f"step-{step:09d}.ckpt"
    found, again = learn(tmp_path, 2, Batches(6, 3), drawing, STATED, noisy)
    assert {n: a.tobytes() for n, a in found.items()} == {n: a.tobytes() for n, a in wanted.items()}
    assert rows(again) == rows(run)
    assert [row["step"] for row in rows(run)] == [1, 2, 3, 4, 5, 6]


# ------------------------------------------------------------------ devices side by side


class Regrouped(Batches):
    """Rows of a batch in another order."""

    def __init__(self, order: list[int]) -> None:
        super().__init__(8, 2)
        self.order = order

    def rows(self, epoch: int) -> np.ndarray:
        return super().rows(epoch)[:, self.order]


def normalised() -> keras.Model:
    """Batch statistics over all devices."""
    keras.utils.set_random_seed(0)
    x = given = keras.Input((12, 10, 1))
    x = layers.Dense(8, use_bias=False)(layers.Flatten()(x))
    x = layers.BatchNormalization(synchronized=True)(x)
    return keras.Model(given, layers.Dense(1)(layers.Activation("tanh")(x)))


def side_by_side(root: str) -> int:
    """Two devices, each with half of every batch, in two parts; then one device."""
    ranks = toy_keras.logical(1, 2)
    told: dict[str, Any] = {}
    alone = Ranks(tf.distribute.get_strategy())
    # Rows that are seen together: 0 1 4 5, then 2 3 6 7.
    ways = {"two": (ranks, list(range(8))), "one": (alone, [0, 1, 4, 5, 2, 3, 6, 7])}
    for name, (strategy, order) in ways.items():
        held: list[keras.Model] = []
        seen = Seen()

        def kept(held: list[keras.Model] = held) -> keras.Model:
            held.append(normalised())
            return held[-1]

        with opened(Path(root), "toy", asdict(ONE), {}, name=name, threads=1) as run:
            fit(
                kept, functools.partial(keras.optimizers.SGD, 0.1), seen, Regrouped(order),
                lambda net: {"error": 1.0}, run, ONE, strategy, 2,
            )  # fmt: skip
            told[name] = {n: array.tolist() for n, array in variables(held[0]).items()}
            told[f"{name}-rows"], told[f"{name}-seeds"] = rows(run), seen.all
    (Path(root) / "told.json").write_text(json.dumps(told))
    return 0


@pytest.fixture(scope="module")
def devices(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    root = tmp_path_factory.mktemp("devices") / "a"
    root.mkdir()
    assert trainings.alone(side_by_side, root, kind=KERAS) == 0, Path(f"{root}.log").read_text()
    found: dict[str, Any] = json.loads((root / "told.json").read_text())
    return found


def test_devices_that_work_in_parts_meet_in_each(devices: dict[str, Any]) -> None:
    """With statistics over all devices, parts of two are parts of one with the same rows."""
    one, two = ({n: np.array(v) for n, v in devices[name].items()} for name in ("one", "two"))
    assert close(two, one, 1e-5)
    start = {n: np.array(v) for n, v in variables(normalised()).items()}
    assert np.abs(one["0000 kernel"] - start["0000 kernel"]).max() > 0.01
    for told, wanted in zip(devices["two-rows"], devices["one-rows"], strict=True):
        assert told["loss"] == pytest.approx(wanted["loss"], rel=1e-5)
        assert told["grad_norm"] == pytest.approx(wanted["grad_norm"], rel=1e-5)


def test_no_two_parts_of_any_device_have_the_same_draws(devices: dict[str, Any]) -> None:
    for name, count in (("two", 2 * 2 * 2), ("one", 2 * 2)):
        seeds = devices[f"{name}-seeds"]
        assert len({tuple(seed) for seed in seeds}) == len(seeds) == count
