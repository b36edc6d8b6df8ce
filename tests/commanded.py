"""A command of a training script, run here as make would run it.

Reads nothing. Does: gives it the variables that make exports, catches what it says and its exit
code, and lets no traceback pass. Writes nothing itself.
"""

import contextlib
import io
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import click

from tests import corpus
from training import __main__ as of_any_model
from training import resume
from training.run import main


@dataclass(frozen=True)
class Told:
    """What a person sees of a command."""

    code: int
    out: str
    err: str


def code(work: Callable[[], object]) -> int:
    """What the process would end with."""
    try:
        return main(work)
    except SystemExit as stop:
        return int(stop.code or 0)


def told(work: Callable[[], object], variables: Mapping[str, str]) -> Told:
    """Every variable that make exports, empty where nobody said it."""
    known = dict.fromkeys(corpus.TRAINING, "") | {"RECIPE": ""}
    out, err = io.StringIO(), io.StringIO()
    with (
        mock.patch.dict(os.environ, known | dict(variables)),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        ended = code(work)
    assert "Traceback" not in err.getvalue()
    return Told(ended, out.getvalue(), err.getvalue())


@dataclass(frozen=True)
class Script:
    """A model's commands, and the variables that tests give them unless they say otherwise."""

    model: str
    cli: click.Group
    known: Mapping[str, str]
    own: bool = False  # are all of its commands called by the model's script itself?

    def work(self, command: str, options: tuple[str, ...] = ()) -> None:
        if command == "resume":
            resume.resume()
        elif command in of_any_model.COMMANDS and not self.own:
            of_any_model.command([command, *options])
        else:
            self.cli.main([command, *options], standalone_mode=False)

    def told(self, command: str, artifacts: Path, *options: str, **variables: str) -> Told:
        """A command by what make exports."""
        known = {"ARTIFACTS": os.fspath(artifacts), **self.known}
        return told(lambda: self.work(command, options), known | variables)

    def folder(self, artifacts: Path, name: str) -> Path:
        """That of a run."""
        return artifacts / "runs" / self.model / name


def blank(what: object, path: Path, **more: object) -> None:
    """In the place of what draws: a file that is no picture."""
    path.write_bytes(b"a picture")
