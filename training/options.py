"""Options that the commands of several models have.

Reads the environment variables that `make` sets; writes nothing. Does: names each option once.
"""

import functools
from collections.abc import Callable, Iterable
from typing import Any

import click

from training.errors import Changed

option = functools.partial(click.option, show_envvar=True)


def _utf8(context: click.Context, parameter: click.Parameter, value: str) -> str:
    """TensorFlow and TensorBoard, which write there, take no other names."""
    try:
        value.encode()
    except UnicodeEncodeError as error:
        do = "rename the folder, or give another"
        raise Changed("a name that is not UTF-8", "ARTIFACTS", got=value, do=do) from error
    return value


artifacts = option(
    "--artifacts", envvar="ARTIFACTS", default="artifacts", show_default=True, callback=_utf8
)


class Whole(click.IntRange):
    """Whole numbers of at least so many; click calls what is none "not a valid integer range"."""

    name = "integer"


class YesNo(click.types.BoolParamType):
    """yes or no, in all of click's words; it would name the empty one among them."""

    def convert(self, value: Any, parameter: Any, context: Any) -> bool:
        try:
            return super().convert(value, parameter, context)
        except click.BadParameter:
            self.fail(f"{value!r} is not a valid boolean: say yes or no", parameter, context)


yes_no = functools.partial(option, type=YesNo())


def of_runs(command: Callable[..., None]) -> Callable[..., None]:
    """What every command that works on trained runs asks for."""
    run = option("--run", envvar="RUN", default="", help="Names. [default: the last one]")
    return artifacts(run(command))


def of_model(
    recipe: str, profiles: Iterable[str], told: str = "A name or a .toml file."
) -> Callable[..., Callable[..., None]]:
    """What every command that trains asks for first, with its model's defaults."""
    names = ", ".join(profiles)

    def asked(command: Callable[..., None]) -> Callable[..., None]:
        given = option("--recipe", envvar="RECIPE", default=recipe, show_default=True, help=told)
        profile = option(
            "--profile", envvar="PROFILE", default="demo", show_default=True, help=f"{names}."
        )
        return artifacts(given(profile(command)))

    return asked


def of_training(command: Callable[..., None]) -> Callable[..., None]:
    """What every command that trains asks for, after its own."""
    each = (
        option("--epochs", envvar="EPOCHS", type=Whole(1), default=None),
        option(
            "--budget",
            envvar="BUDGET",
            default="",
            help="Such as 8h: training ends within it, with all its folds and variants.",
        ),
        option("--seed", envvar="SEED", type=Whole(0), default=0),
        option("--run", envvar="RUN", default="", help="A name. [default: made from all of these]"),
    )
    for one in reversed(each):
        command = one(command)
    return command


def of_folds(command: Callable[..., None]) -> Callable[..., None]:
    """Of every command that can cross-validate."""
    return option(
        "--folds", envvar="FOLDS", type=Whole(0), default=0, callback=_folds,
        help="Cross-validation.",
    )(command)  # fmt: skip


def _folds(context: click.Context, parameter: click.Parameter, value: int) -> int:
    if value == 1:
        raise Changed("one fold leaves nothing to learn from", "FOLDS", "2 or more", value)
    return value
