"""Learning rates and stopping, against torch's own and by hand."""

import itertools
import math
from collections.abc import Sequence

import pytest

from training.engine import schedule
from training.engine.settings import Settings
from training.errors import Changed


@pytest.mark.parametrize("patience", [1, 2, 3])
def test_plateau_is_what_torch_does(patience: int) -> None:
    torch = pytest.importorskip("torch")
    for scores in itertools.product((1.0, 2.0, 3.0), repeat=6):
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
        theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(
            optimizer, "max", factor=0.5, patience=patience - 1, threshold=0.0, eps=0.0
        )
        for score in scores:
            theirs.step(score)
        assert schedule.plateau(scores, patience, 0.5) == optimizer.param_groups[0]["lr"], scores


def test_cosine_is_what_torch_does() -> None:
    torch = pytest.importorskip("torch")
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 40, eta_min=0.1)
    for step in range(40):
        assert schedule.cosine(step + 10, 50, 10, 0.1) == pytest.approx(theirs.get_last_lr()[0])
        optimizer.step()
        theirs.step()
    assert schedule.cosine(50, 50, 10, 0.1) == pytest.approx(0.1)
    assert schedule.cosine(3, 50, 10) == 1.0  # while it warms up


def test_warm_up() -> None:
    assert [schedule.warm_up(step, 4) for step in range(6)] == [0.25, 0.5, 0.75, 1, 1, 1]
    assert schedule.warm_up(0, 0) == 1


def test_the_rate_is_the_product() -> None:
    settings = Settings(rate=0.8, schedule="cosine", warmup=2)
    assert schedule.rate(settings, 0, 12, []) == 0.4
    assert schedule.rate(settings, 7, 12, []) == pytest.approx(0.4)
    long = Settings(rate=0.8, schedule="cosine", warmup=500)  # a short run rises for a fifth
    assert schedule.rate(long, 1, 12, []) == 0.8
    assert schedule.rate(long, 7, 12, []) == pytest.approx(0.4)
    settings = Settings(rate=0.8, schedule="plateau", patience=1, factor=0.25)
    assert schedule.rate(settings, 7, 12, [1.0, 1.0]) == 0.2
    assert schedule.rate(Settings(rate=0.8, schedule="constant"), 7, 12, [1.0, 1.0]) == 0.8


@pytest.mark.parametrize(
    ("scores", "best", "stale"),
    [([], -1, 0), ([1.0], 0, 0), ([1.0, 2.0], 1, 0), ([2.0, 1.0, 2.0], 0, 2), ([-3.0, -2.0], 1, 0)],
)
def test_best_and_stale(scores: Sequence[float], best: int, stale: int) -> None:
    assert (schedule.best_of(scores), schedule.stale(scores)) == (best, stale)


def test_giving_up() -> None:
    scores = [2.0, 1.0, 1.0]
    given = [schedule.given_up(Settings(stop=stop), scores) for stop in (0, 1, 2, 3)]
    assert given == [False, True, True, False]


def test_affordable_steps_end_inside_and_use_the_time() -> None:
    def cost(steps: int, at: int) -> float:
        """Counted one by one: steps, and scoring after each epoch and at the end."""
        edges = {n for n in range(1, steps + 1) if (at + n) % 10 == 0} | {steps}
        return steps * 2.0 + len(edges) * 5.0

    for left in range(400):
        for at in (0, 3, 9):
            steps = schedule.affordable(float(left), 2.0, 5.0, at, 10)
            assert steps == 0 or cost(steps, at) <= left
            assert all(cost(more, at) > left for more in range(steps + 1, steps + 3))


@pytest.mark.parametrize(
    "wrong",
    [{"epochs": 0}, {"rate": -1.0}, {"schedule": "step"}, {"precision": "int8"}, {"ema": 1.5},
     {"budget": -1.0}, {"rate": math.nan}, {"clip": math.nan}],
)  # fmt: skip
def test_settings_that_cannot_be_meant(wrong: dict[str, float]) -> None:
    with pytest.raises(Changed, match=next(iter(wrong))):
        Settings(**wrong)  # type: ignore[arg-type]
