"""A command of a training script, run here as make would run it.

Reads nothing. Does: gives it the variables that make exports, catches what it says and its exit
code, and lets no traceback pass. Writes nothing.
"""

import contextlib
import io
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from unittest import mock

from tests import corpus
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
