"""Training a denoiser: what it is judged by, where it starts from, what it refuses.

Reads small shards. Writes runs in pytest's folders.
"""

import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tests import here, trainings  # noqa: E402
from tests.denoising import HIGH, LOW  # noqa: E402
from tests.here import fresh  # noqa: E402
from training.data import torch_data  # noqa: E402
from training.data.index import DataError, Index, load_index, load_indexes  # noqa: E402
from training.data.mixing import Online  # noqa: E402
from training.data.torch_data import count, pairs  # noqa: E402
from training.denoiser import train as script  # noqa: E402
from training.denoiser.loss import LOSSES, make_loss  # noqa: E402
from training.denoiser.metrics import si_sdr_gain  # noqa: E402
from training.denoiser.net import encoder_parameters, make_net  # noqa: E402
from training.denoiser.profiles import Profile  # noqa: E402
from training.denoiser.train import (  # noqa: E402
    Objective,
    Validation,
    configuration,
    folder_of,
    trained,
)
from training.engine import torch_fit as engine  # noqa: E402
from training.engine.checkpoint import Checkpoints, load  # noqa: E402
from training.engine.settings import Settings  # noqa: E402
from training.engine.torch_learner import arrays  # noqa: E402
from training.engine.torch_ranks import Ranks  # noqa: E402
from training.errors import Changed, RunError  # noqa: E402
from training.run import opened, read_config, read_metrics, read_state  # noqa: E402

SETTINGS = Settings(epochs=1, rate=1e-3, schedule="constant", stop=0, score="si_sdr_gain")
TINY = Profile("spec", "composite-sdr", 16, "adamw", None, SETTINGS)
STEPS = 4  # of an epoch of LOW or HIGH


def asked(artifacts: Path, *recipes: str, init: str = "", **changes: Any) -> dict[str, Any]:
    """A configuration; changes of settings among those of the profile."""
    inner = {k: v for k, v in changes.items() if hasattr(SETTINGS, k)}
    outer = {k: v for k, v in changes.items() if k not in inner}
    profile = replace(TINY, settings=replace(SETTINGS, **inner), **outer)
    return configuration(artifacts, recipes or [LOW], profile, init)


def train(artifacts: Path, config: dict[str, Any], name: str = "a", **more: Any) -> engine.Result:
    made = script.train(artifacts, config, name, Ranks(), **more)
    assert made is not None
    assert made[0] == folder_of(artifacts, name)
    return made[1]


@pytest.fixture
def artifacts(denoising_shards: Path, tmp_path: Path) -> Path:
    return fresh(denoising_shards, tmp_path / "artifacts")


@pytest.fixture(scope="module")
def first(denoising_shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Artifacts with a finished run `first`, to be copied."""
    artifacts = fresh(denoising_shards, tmp_path_factory.mktemp("first") / "artifacts")
    train(artifacts, asked(artifacts, seed=5), "first")
    return artifacts


@pytest.fixture
def begun(first: Path, artifacts: Path) -> Path:
    """The same, for one test alone."""
    shutil.copytree(first / "runs", artifacts / "runs")
    return artifacts


def valid(folder: Path) -> list[dict[str, Any]]:
    return [row for row in read_metrics(folder) if row["kind"] == "valid"]


class Same(torch.nn.Module):
    """Does nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1), requires_grad=False)

    def forward(self, noisy: torch.Tensor) -> torch.Tensor:
        return noisy + 0 * self.weight


# ------------------------------------------------------------------ learning


def test_three_epochs_make_a_net_that_helps(artifacts: Path) -> None:
    config = asked(artifacts, epochs=3, rate=3e-3, online=Online(room=1 << 20))
    result = train(artifacts, config)
    assert (result.state.step, result.why) == (3 * STEPS, "all epochs are done")
    rows = valid(folder_of(artifacts, "a"))
    assert [row["step"] for row in rows] == [STEPS, 2 * STEPS, 3 * STEPS]
    before = Validation(load_indexes(artifacts, [LOW]), 8000, make_loss("composite-sdr", 8000))
    torch.manual_seed(0)
    fresh_net = make_net("spec", 8000).eval()
    with torch.no_grad():
        start = before(fresh_net)
        learnt = before(trained(folder_of(artifacts, "a")).net)
    assert learnt["loss"] < rows[0]["loss"] < start["loss"]
    assert learnt["si_sdr_gain"] > max(0.0, start["si_sdr_gain"])
    best = max(rows, key=lambda row: row["si_sdr_gain"])
    assert learnt == pytest.approx({k: best[k] for k in ("loss", "si_sdr_gain")}, rel=1e-5)


def test_training_rows_tell_loss_and_gain(begun: Path) -> None:
    row = next(row for row in read_metrics(folder_of(begun, "first")) if row["kind"] == "train")
    assert {"loss", "si_sdr_gain", "grad_norm", "rate"} <= set(row)


def test_the_net_of_a_run_is_the_average_where_one_was_kept(artifacts: Path) -> None:
    train(artifacts, asked(artifacts, ema=0.5))
    kept = load(Checkpoints(folder_of(artifacts, "a")).best())["learner"]
    one = trained(folder_of(artifacts, "a"))
    assert (one.rate, one.facts["config"]["recipes"]) == (8000, [LOW])
    assert not one.net.training
    for name, weight in one.net.state_dict().items():
        assert np.array_equal(weight.numpy(), kept["ema"][name])
    assert any((kept["ema"][name] != kept["model"][name]).any() for name in kept["ema"])


def test_recipes_of_two_rates_train_one_net_at_the_lower(
    artifacts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def heard(self: Objective, net: torch.nn.Module, batch: Any) -> Any:
        seen.append(batch["noisy"].shape)
        return told(self, net, batch)

    told = Objective.__call__
    monkeypatch.setattr(Objective, "__call__", heard)
    config = asked(artifacts, HIGH, LOW)
    assert (config["rate"], config["recipes"]) == (8000, [HIGH, LOW])
    result = train(artifacts, config)
    assert result.state.step == 2 * STEPS
    assert set(seen) == {(16, 4096)}
    assert trained(folder_of(artifacts, "a")).rate == 8000
    assert set(read_config(folder_of(artifacts, "a"))["data"]) == {HIGH, LOW}
    assert asked(artifacts, HIGH)["rate"] == 16000


# ------------------------------------------------------------------ validation


def everything(index: Index) -> tuple[np.ndarray, np.ndarray]:
    held = list(pairs(index, "valid"))
    return tuple(np.concatenate([batch[n] for batch in held]) for n in ("noisy", "clean"))  # type: ignore[return-value]


@pytest.mark.parametrize("name", LOSSES)
def test_doing_nothing_gains_nothing_and_costs_what_the_noise_does(
    artifacts: Path, name: str
) -> None:
    """The mean over all mixtures, though the last batch is a smaller one."""
    index, loss = load_index(artifacts / LOW), make_loss(name, 8000)
    noisy, clean = everything(index)
    found = Validation([index], 8000, loss)(Same())
    assert found["si_sdr_gain"] == 0.0
    each = [float(loss(torch.from_numpy(noisy[i : i + 1]), torch.from_numpy(clean[i : i + 1])))
            for i in range(len(noisy))]  # fmt: skip
    assert found["loss"] == pytest.approx(np.mean(each), rel=1e-4)


def test_its_gain_is_the_mean_over_the_mixtures(artifacts: Path) -> None:
    class Half(Same):
        def forward(self, noisy: torch.Tensor) -> torch.Tensor:
            return noisy - 0.5 * noisy.roll(1, -1)

    index = load_index(artifacts / LOW)
    noisy, clean = everything(index)
    found = Validation([index], 8000, make_loss("mse", 8000))(Half())
    want = si_sdr_gain(noisy - 0.5 * np.roll(noisy, 1, -1), noisy, clean)
    assert found["si_sdr_gain"] == pytest.approx(want.mean(), rel=1e-5)
    assert abs(want.mean()) > 0.1


def test_silence_is_left_out_of_the_gain(artifacts: Path) -> None:
    one = Validation([load_index(artifacts / LOW)], 8000, make_loss("mse", 8000))
    noisy, clean = (np.zeros((2, 4096), np.float32) for _ in range(2))
    noisy[:], clean[0] = np.sin(np.arange(4096) ** 1.5), np.sin(np.arange(4096))
    one.batches = [(noisy, clean)]
    assert one(Same())["si_sdr_gain"] == 0.0


@pytest.mark.parametrize("most", [1, 7, 10, 38, 1000])
def test_no_more_than_so_many_mixtures_each_once_and_in_order(
    artifacts: Path, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(script, "VALID", most)
    monkeypatch.setattr(script, "HEARD", 4)
    index = load_index(artifacts / LOW)
    assert count(index, "valid") == 38
    batches = Validation([index], 8000, make_loss("mse", 8000)).batches
    assert {len(noisy) for noisy, _ in batches[:-1]} <= {4}
    held, also = (np.concatenate(waves) for waves in zip(*batches, strict=True))
    noisy, clean = everything(index)
    places = [[wave.tobytes() for wave in noisy].index(wave.tobytes()) for wave in held]
    assert len(places) == min(38, most)
    assert places == sorted(set(places))
    assert also.tobytes() == clean[places].tobytes()


@pytest.mark.parametrize("windows", [60, 300, 900])
def test_of_a_larger_corpus_all_levels_are_heard_and_no_more_is_read_at_once(
    artifacts: Path, monkeypatch: pytest.MonkeyPatch, windows: int
) -> None:
    """Mixtures lie window by window, a row for each level: every fifth would be of one level."""
    levels = 5
    read: list[int] = []

    def stored(index: Index, split: str, batch: int) -> Iterator[dict[str, np.ndarray]]:
        read.append(batch)
        level = np.arange(windows * levels) % levels
        for at in range(0, len(level), batch):
            waves = np.tile(level[at : at + batch, None].astype(np.float32), 4)
            yield {"noisy": waves, "clean": waves, "source": np.zeros(len(waves), "S4")}

    monkeypatch.setattr(torch_data, "pairs", stored)
    monkeypatch.setattr(torch_data, "count", lambda index, split: windows * levels)
    index = load_index(artifacts / LOW)
    batches = Validation([index], 8000, make_loss("mse", 8000)).batches
    assert read == [25]
    assert [len(noisy) for noisy, _ in batches] == [25] * 12
    heard = Counter(level for noisy, _ in batches for level in noisy[:, 0].tolist())
    assert set(heard) == set(range(levels))
    assert min(heard.values()) > 40  # 60 of each, with a deviation of 7


def test_several_recipes_share_that_and_are_heard_at_one_rate(
    artifacts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(script, "VALID", 21)
    indexes = load_indexes(artifacts, [LOW, HIGH])
    batches = Validation(indexes, 8000, make_loss("mse", 8000)).batches
    assert [len(noisy) for noisy, _ in batches] == [10, 10]
    assert {wave.shape[1] for pair in batches for wave in pair} == {4096}
    monkeypatch.setattr(script, "VALID", 1)
    few = Validation(indexes, 8000, make_loss("mse", 8000)).batches
    assert [len(noisy) for noisy, _ in few] == [1, 1]


# ------------------------------------------------------------------ what a step reports


def waves(count: int = 6) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Estimate, noisy, clean."""
    random = np.random.default_rng(3)
    clean = random.standard_normal((count, 3000)) * 0.1
    noise = random.standard_normal((count, 3000)) * np.geomspace(0.01, 0.3, count)[:, None]
    found = clean + 0.4 * noise + 0.01, clean + noise, clean
    return tuple(wave.astype(np.float32) for wave in found)  # type: ignore[return-value]


def reported(estimate: np.ndarray, noisy: np.ndarray, clean: np.ndarray) -> float:
    class Answer(Same):
        def forward(self, noisy: torch.Tensor) -> torch.Tensor:
            return torch.from_numpy(estimate) + 0 * self.weight

    batch = {"noisy": torch.from_numpy(noisy), "clean": torch.from_numpy(clean)}
    return float(Objective(make_loss("mse", 8000))(Answer(), batch)[1]["si_sdr_gain"])


def test_the_gain_of_a_step_is_the_one_that_is_scored() -> None:
    estimate, noisy, clean = waves()
    want = si_sdr_gain(estimate, noisy, clean)
    assert reported(estimate, noisy, clean) == pytest.approx(want.mean(), abs=1e-3)
    assert want.mean() > 5


def test_silence_and_clean_input_count_for_nothing_in_it() -> None:
    estimate, noisy, clean = waves()
    want = si_sdr_gain(estimate[2:], noisy[2:], clean[2:]).mean()
    clean[0] = 0  # noise alone
    noisy[1] = clean[1]  # clean alone
    assert reported(estimate, noisy, clean) == pytest.approx(want, abs=1e-3)
    assert reported(estimate[:2], noisy[:2], clean[:2]) == 0.0


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("arch", ["spec", "unet-small"])
def test_silence_has_a_loss_and_a_gradient(name: str, arch: str) -> None:
    torch.manual_seed(0)
    net = make_net(arch, 8000)
    silence = torch.zeros(2, 4096)
    loss, more = Objective(make_loss(name, 8000))(net, {"noisy": silence, "clean": silence})
    loss.backward()
    assert torch.isfinite(loss)
    assert float(more["si_sdr_gain"]) == 0.0
    assert all(torch.isfinite(p.grad).all() for p in net.parameters() if p.grad is not None)


# ------------------------------------------------------------------ another run to start from

Watched = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Watched:
    """Trains, and returns the weights before the first step and after each epoch."""

    def work(artifacts: Path, config: dict[str, Any], name: str) -> list[dict[str, Any]]:
        seen: list[dict[str, Any]] = []

        def fit(net: Any, optimizer: Any, loss: Any, data: Any, validate: Any, *rest: Any) -> Any:
            def noted(scored: Any) -> Any:
                keep(scored)
                return validate(scored)

            keep(net)
            return engine.fit(net, optimizer, loss, data, noted, *rest)

        def keep(net: Any) -> None:
            seen.append({name: w.detach().clone() for name, w in net.named_parameters()})

        monkeypatch.setattr(script, "engine", Engine(fit))
        train(artifacts, config, name)
        return seen

    return work


class Engine:
    """Stands in for training.engine.torch_fit."""

    def __init__(self, fit: Any) -> None:
        self.fit = fit


def same(a: dict[str, Any], b: dict[str, Any]) -> set[str]:
    return {name for name in a if torch.equal(a[name], b[name])}


@pytest.mark.parametrize("optimizer", ["adam", "adamw"])
def test_a_run_starts_from_anothers_weights_and_keeps_its_encoder_at_first(
    begun: Path, watched: Watched, optimizer: str
) -> None:
    config = asked(begun, init="first", epochs=2, seed=9, clip=1.0, optimizer=optimizer)
    start, one, two = watched(begun, config, "second")
    other = trained(folder_of(begun, "first")).net
    assert same(start, dict(other.named_parameters())) == set(start)
    of = {id(p): name for name, p in other.named_parameters()}
    encoder = {of[id(p)] for p in encoder_parameters(other)}
    assert encoder
    assert encoder < set(start)
    assert same(start, one) == encoder
    assert not same(one, two)


def test_without_another_run_everything_learns_at_once(artifacts: Path, watched: Watched) -> None:
    start, one = watched(artifacts, asked(artifacts), "a")
    assert not same(start, one)
    torch.manual_seed(0)
    assert same(start, dict(make_net("spec", 8000).named_parameters())) == set(start)


def test_what_a_run_started_from_is_kept_and_counts(begun: Path) -> None:
    config = asked(begun, init="first")
    best = Checkpoints(folder_of(begun, "first")).best()
    hashed = best.read_bytes()[-32:].hex()
    assert config["init"] == {"run": "first", "checkpoint": hashed}
    assert asked(begun, init="denoiser/first") == config
    train(begun, config, "second")
    with pytest.raises(Changed, match=r"config.init.checkpoint = '\w+'"):
        train(begun, asked(begun), "second")
    facts = read_config(folder_of(begun, "second"))
    other = {**facts["config"], "init": {"run": "first", "checkpoint": "0" * 64}}
    with pytest.raises(Changed, match=rf"config.init.checkpoint = '{hashed}'; got '0000"):
        train(begun, other, "second")


def test_a_run_to_start_from_that_went_on_learning_is_refused(begun: Path) -> None:
    config = asked(begun, init="first")
    config["init"]["checkpoint"] = "0" * 64
    with pytest.raises(Changed, match="first: the run to start from has learnt more since"):
        train(begun, config, "second")


def test_once_begun_a_run_needs_the_other_no_more(begun: Path) -> None:
    config = asked(begun, init="first", epochs=2)
    train(begun, config, "second")
    want = trainings.told(folder_of(begun, "second"))
    shutil.rmtree(folder_of(begun, "first"))
    train(begun, config, "second", checkpoint=STEPS)
    assert trainings.told(folder_of(begun, "second")) == want


@pytest.mark.parametrize(
    ("recipe", "arch", "said"),
    [(LOW, "unet-small", "expected unet-small for 8000 Hz; got spec for 8000 Hz. Give ARCH="),
     (LOW, "spec-large", "expected spec-large for 8000 Hz; got spec for 8000 Hz"),
     (HIGH, "spec", "expected spec for 16000 Hz; got spec for 8000 Hz")],
)  # fmt: skip
def test_another_shape_is_refused(begun: Path, recipe: str, arch: str, said: str) -> None:
    with pytest.raises(Changed) as error:
        asked(begun, recipe, init="first", arch=arch)
    assert said in str(error.value)
    assert str(folder_of(begun, "first")) in str(error.value)


def test_a_wave_net_starts_from_one_of_any_rate(artifacts: Path) -> None:
    net = make_net("unet-small", 16000).state_dict()
    with opened(artifacts, "denoiser", asked(artifacts, HIGH, arch="unet-small"), {}, name="wave"):
        held = {"learner": {"ema": None, "model": arrays(net)}}
        Checkpoints(folder_of(artifacts, "wave")).save(1, held, best=True)
    config = asked(artifacts, LOW, arch="unet-small", init="wave")
    assert (config["rate"], config["init"]["run"]) == (8000, "wave")


def test_an_unknown_run_to_start_from_is_told_the_known_ones(begun: Path) -> None:
    with pytest.raises(RunError, match="no such run; expected one of denoiser/first; got frist"):
        asked(begun, init="frist")


def together(root: str, *, fault: str = "", init: str = "") -> int:
    """One of two processes."""
    from training.engine.torch_ranks import joined

    with joined("cpu") as ranks:
        config = asked(Path(root), init=init, batch=8, seed=9)
        script.train(Path(root), config, "both", ranks)
    return 0


@pytest.mark.slow
def test_two_processes_start_from_the_same_weights(begun: Path) -> None:
    assert trainings.together(together, begun, init="first") == [0, 0]
    was = dict(trained(folder_of(begun, "first")).net.named_parameters())
    now = trained(folder_of(begun, "both")).net
    of = {id(p): name for name, p in now.named_parameters()}
    encoder = {of[id(p)] for p in encoder_parameters(now)}
    assert same(was, dict(now.named_parameters())) == encoder
    assert read_config(folder_of(begun, "both"))["setup"]["ranks"] == 2


# ------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"batch": 8}, "config.batch = 16; got 8"),
        ({"epochs": 2}, "config.settings.epochs = 1; got 2"),
        ({"seed": 6}, "config.settings.seed = 5; got 6"),
        ({"init": "first"}, "config.init.checkpoint = 'nothing', config.init.run = 'nothing'; got"),
        ({"loss": "mse"}, "config.loss = 'composite-sdr'; got 'mse'"),
        ({"arch": "spec-large"}, "config.arch = 'spec'; got 'spec-large'"),
        ({"online": Online()}, "config.online = None, config.online.above = 'nothing'"),
    ],
)
def test_another_configuration_under_the_same_name_is_refused(
    begun: Path, changes: dict[str, Any], said: str
) -> None:
    config = asked(begun, **{"seed": 5, **changes})
    before = here.stamps(begun)
    with pytest.raises(Changed) as error:
        train(begun, config, "first")
    assert said in str(error.value)
    assert "Set it back, or name a new run with RUN=" in str(error.value)
    assert not here.written(before, here.stamps(begun)) - {"runs/denoiser/first/.lock"}


def test_other_shards_under_the_same_name_are_refused(
    begun: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = load_index(begun / LOW).key
    monkeypatch.setattr(
        "training.data.index.load_index", lambda path: replace(load_index(path), key="other")
    )
    with pytest.raises(Changed, match=rf"expected data.{LOW} = '{key}'; got 'other'"):
        train(begun, asked(begun, seed=5), "first")


def test_shards_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"{LOW}: no index. Run make features first"):
        asked(tmp_path)
    with pytest.raises(Changed, match="no recipe"):
        configuration(tmp_path, [], TINY, "")


@pytest.mark.parametrize(
    ("recipe", "changes", "said"),
    [
        (LOW, {"batch": 67}, f"{LOW} has too few examples for one batch.*expected 67 .*got 66"),
        ("tiny-classes", {}, "tiny-classes mixes nothing.*name a denoising recipe"),
    ],
)
def test_what_cannot_be_trained_from_leaves_no_run_behind(
    artifacts: Path, recipe: str, changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(DataError, match=f"(?i){said}"):
        train(artifacts, asked(artifacts, recipe, **changes))
    assert not (artifacts / "runs").exists()


def test_nor_does_a_recipe_with_nothing_to_validate_with(
    artifacts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without(path: Path) -> Index:
        index = load_index(path)
        return replace(index, entries=tuple(s for s in index.entries if s.split != "valid"))

    monkeypatch.setattr("training.data.index.load_index", without)
    with pytest.raises(DataError, match="nothing to validate with.*Add recordings of more speak"):
        train(artifacts, asked(artifacts))
    assert not (artifacts / "runs").exists()


def test_a_run_goes_back_to_a_checkpoint(begun: Path) -> None:
    config = asked(begun, seed=1, epochs=3)
    train(begun, config, "a")
    folder = folder_of(begun, "a")
    want, rows = trainings.told(folder), (folder / "metrics.jsonl").read_bytes()
    assert train(begun, config, "a", checkpoint=2 * STEPS).state.step == 3 * STEPS
    assert trainings.told(folder) == want
    assert (folder / "metrics.jsonl").read_bytes() != rows  # it was done again, at another time
    with pytest.raises(RunError, match=f"no such checkpoint; expected one of .*{3 * STEPS}; got 5"):
        train(begun, config, "a", checkpoint=5)
    assert read_state(folder)["state"] == "finished"
    assert read_config(folder)["config"] == config
