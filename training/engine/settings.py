"""How to train: every number of the engine, with its meaning.

Reads and writes nothing. Does: refuses values that cannot be meant.
"""

from dataclasses import dataclass

from training.errors import Changed

SCHEDULES = ("constant", "plateau", "cosine")
PRECISIONS = ("float32", "bf16", "fp16", "auto")


@dataclass(frozen=True)
class Settings:
    """A training script's choice; what is 0 or "" is off."""

    epochs: int = 40  # at most: stopping early and the budget may end before
    rate: float = 1e-4  # learning rate; a parameter group's `scale` multiplies it
    schedule: str = "plateau"
    warmup: int = 0  # steps
    least: float = 0.0  # cosine: part of the rate that is left at the end
    patience: int = 3  # plateau: scores in a row that are no better
    factor: float = 0.5  # plateau: times this, then
    stop: int = 6  # stop after so many scores that are no better
    score: str = "-loss"  # what validation is judged by; with a minus, lower is better
    clip: float = 0.0  # largest norm of the gradient
    precision: str = "float32"  # auto: bf16 or fp16 on a GPU that has it, float32 elsewhere
    ema: float = 0.0  # decay of the weights' running average, which is then scored and used
    budget: float = 0.0  # seconds, over all resumes
    shared: int = 1  # runs that have the budget together
    seed: int = 0
    save_steps: int = 0  # a checkpoint every so many steps, besides one an epoch
    save_seconds: float = 600.0  # and every so many seconds
    log_steps: int = 50  # a line of training metrics

    def __post_init__(self) -> None:
        for name, known in (("schedule", SCHEDULES), ("precision", PRECISIONS)):
            if getattr(self, name) not in known:
                raise Changed("unknown value", name, f"one of {known}", getattr(self, name))
        above = {n: getattr(self, n) for n in ("epochs", "rate", "log_steps", "patience", "shared")}
        parts = {n: getattr(self, n) for n in ("least", "factor", "ema")}
        others = ("warmup", "stop", "clip", "budget", "save_steps", "save_seconds")
        wrong = [n for n, value in above.items() if not value > 0]
        wrong += [n for n, value in parts.items() if not 0 <= value <= 1]
        wrong += [n for n in others if not getattr(self, n) >= 0]
        if wrong:
            raise Changed("out of range", wrong[0], got=getattr(self, wrong[0]))
