"""Options of every model's commands: told by --help, and by one line where they are wrong.

Reads and writes nothing. Needs torch for those of the denoiser and the diarizer.
"""

import importlib
import importlib.util
import os
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from tests import commanded

COMMANDS = {
    "hybrid": ("train", "evaluate", "analyze", "classify", "export"),
    "tagger": ("train", "import", "evaluate", "analyze", "tag", "export"),
    "classifier": ("train", "teacher", "evaluate", "analyze", "classify", "export"),
    "denoiser": ("train", "evaluate", "analyze", "denoise", "export"),
    "diarizer": ("train", "evaluate", "analyze", "diarize", "export"),
}
# Of all models, and of each.
WRONG = [
    ("train", "--ecpochs", "No such option"), ("tarin", "-h", "No such command 'tarin'"),
    ("evaluate", "--artifacts=caf\udce9", r"ARTIFACTS: a name that is not UTF-8; got caf\udce9."),
]  # fmt: skip
MORE = {
    "hybrid": [],
    "tagger": [
        ("tag", "--run=a", "Missing option '--in'"), ("tag", "--top=0", "not in the range"),
        ("tag", "--jobs=0", "not in the range"),
    ],
    "classifier": [("teacher", "--rum=a", "No such option")],
    "denoiser": [
        ("denoise", "--run=low", "Missing option '--in'"), ("evaluate", "--limit=x", "not a valid"),
    ],
    "diarizer": [
        ("diarize", "--run=a", "Missing option '--in'"),
        ("diarize", "--speakers=-1", "not in the range"), ("evaluate", "--limit=5", "No such opt"),
    ],
}  # fmt: skip
OF_TORCH = ("denoiser", "diarizer")
TORCH = importlib.util.find_spec("torch")
HERE = [model for model in COMMANDS if model not in OF_TORCH or TORCH]
CLIS = {model: importlib.import_module(f"training.{model}.__main__").cli for model in HERE}


@pytest.mark.parametrize(
    ("model", "command", "option", "said"),
    [(model, *case) for model in HERE for case in (*WRONG, *MORE[model])],
)
def test_a_wrong_option_is_one_line(
    tmp_path: Path, model: str, command: str, option: str, said: str
) -> None:
    one = commanded.told(
        lambda: CLIS[model].main([command, option], standalone_mode=False),
        {"ARTIFACTS": os.fspath(tmp_path)},
    )
    assert (one.code, one.out, len(one.err.splitlines())) == (2, "", 1)
    assert said in one.err


@pytest.mark.parametrize(("model", "name"), [(m, name) for m in HERE for name in COMMANDS[m]])
def test_help_tells_every_option_and_its_variable(model: str, name: str) -> None:
    cli = CLIS[model]
    assert set(cli.commands) == set(COMMANDS[model])
    text = " ".join(CliRunner().invoke(cli, [name, "-h"]).output.split())
    for option in cli.commands[name].params:
        assert isinstance(option, click.Option)
        assert f"{option.opts[0]} " in text
        assert f"env var: {option.envvar}" in text
