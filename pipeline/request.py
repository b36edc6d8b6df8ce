"""What a person asks of a command: its options, or the environment variables that `make` sets.

Reads: the command line and DATA, RECIPE, LAYOUT, ROLE, SPLITS, JOBS, MAX_RAM, MAX_REJECTED and
ARTIFACTS. Does: turns them into one Request. Writes: the demo corpus while there is no data.
"""

import functools
import math
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from pipeline import cookbook, corpus, jobs
from pipeline.demo import corpus as demo
from pipeline.disk import store
from pipeline.layouts import recognise as layouts
from pipeline.progress import Progress

DEMO = "demo"  # a folder of ARTIFACTS


@dataclass
class Request:
    """What a person asked for."""

    data: str
    artifacts: Path
    recipes: tuple[str, ...]
    layout: str
    role: str
    splits: str
    jobs: int
    max_rejected: float

    def folder(self) -> Path:
        """Where the recordings are; the demo corpus may have to be made there."""
        return Path(self.data).resolve() if self.data else own_data() or self.artifacts / DEMO

    def root(self) -> Path:
        """The same, with the demo corpus in it."""
        root = self.folder()
        if not self.data and root == self.artifacts / DEMO:
            _make_demo(root)
        return root


class _Bytes(click.ParamType):
    name = "size"

    def convert(self, value: Any, param: Any, ctx: Any) -> int:
        text = str(value).strip().lower()
        found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(?:([kmgt])i?)?b?", text)
        told = float(found[1]) * 1024 ** " kmgt".index(found[2] or " ") if found else 0.0
        if not 1 <= told < math.inf:
            self.fail(f"{value!r} is no size; say 4GB or 800MB", param, ctx)
        return int(told)


class _Whole(click.IntRange):
    name = "number"


class _Share(click.FloatRange):
    name = "number"


_option = functools.partial(click.option, show_envvar=True)

where = _option(
    "--artifacts", envvar="ARTIFACTS", default="artifacts", show_default=True,
    help="Where everything made goes.",
)  # fmt: skip
recipe = _option(
    "--recipe", "recipes", envvar="RECIPE", default="",
    help="Shipped names or paths to TOML files, separated by commas or spaces. "
    "[default: every recipe that the data can feed]",
)  # fmt: skip


def options(command: Callable[..., None]) -> Callable[..., None]:
    """The options that every stage shares."""
    found = [
        _option(
            "--data", envvar="DATA", default="", help="Folder of recordings. [default: data/, "
            "or the demo corpus while that is empty]",
        ),
        where,
        recipe,
        _option(
            "--layout", envvar="LAYOUT", default="auto", show_default=True,
            help="How the folder is laid out: " + ", ".join(layouts.LAYOUTS) + ".",
        ),
        _option(
            "--role", envvar="ROLE", default="",
            help="What recordings are where nothing says so: clean, noise, music, labelled.",
        ),
        _option(
            "--splits", envvar="SPLITS", default="",
            help="A file of `group,split` lines to keep, or `groups` to ignore official splits.",
        ),
        _option(
            "--jobs", "count", envvar="JOBS", type=_Whole(1, 1024), default=None,
            help="Worker processes. [default: one for each core]",
        ),
        _option(
            "--max-ram", envvar="MAX_RAM", type=_Bytes(), default=None,
            help=f"Memory the workers may use together, such as 4GB; bounds their number "
            f"({jobs.WORKER >> 20} MB each).",
        ),
        _option(
            "--max-rejected", envvar="MAX_REJECTED", type=_Share(0, 100), default=5.0,
            show_default=True, help="Percentage of bad files above which the run stops.",
        ),
    ]  # fmt: skip
    for option in reversed(found):
        command = option(command)
    return command


def request(**given: Any) -> Request:
    """What was asked, with absolute paths (`resume` may be called from elsewhere). A recipe or a
    splits file that is not there is an error now, not after hours of decoding."""
    recipes = tuple(_absolute(name) for name in _names(given["recipes"]))
    cookbook.load(recipes)
    splits = given["splits"]
    if splits not in ("", "groups"):
        splits = os.path.abspath(splits)
        corpus.read_splits(Path(splits))
    return Request(
        data=os.path.abspath(given["data"]) if given["data"] else "",
        artifacts=Path(given["artifacts"]).resolve(),
        recipes=recipes,
        layout=given["layout"],
        role=given["role"],
        splits=splits,
        jobs=jobs.workers(given["count"], given["max_ram"]),
        max_rejected=given["max_rejected"],
    )


def _names(text: str) -> list[str]:
    """Recipes in a list; one path may hold spaces and commas."""
    return [text] if os.path.isfile(text) else list(filter(None, re.split(r"[,\s]+", text)))


def named(text: str) -> list[str]:
    """The names of the recipes in a list."""
    names = _names(text)
    return [one.name for one in cookbook.load(names)] if names else []


def _absolute(name: str) -> str:
    return os.path.abspath(name) if "/" in name or name.endswith(".toml") else name


def own_data() -> Path | None:
    """data/, unless nothing is in it."""
    data = Path("data").resolve()
    if data.is_dir() and any(p.name != "README.md" and p.name[0] != "." for p in data.iterdir()):
        return data
    return None


def _make_demo(folder: Path) -> None:
    with Progress("demo corpus", 1) as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.step(done - bar.done)

        made = demo.ensure(folder, progress=progress)
    if made:
        store.say(f"data/ is empty: made the demo corpus (synthetic sound) in {folder}")
