"""Runs of several models side by side: which one is meant, whose script is called, what it lacks.

Reads and writes: folders of runs in pytest's folders. Needs neither torch nor TensorFlow but where
both scripts are read.
"""

import importlib
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests import corpus
from training import __main__ as of_any_model
from training import durable, models, resume, run
from training.errors import Changed, Nothing, RunError
from training.runs import CARD, folds_of

Seen = list[tuple[str, list[str]]]


def made(root: Path, model: str, name: str, opened: float, fold: tuple[int, int] | None = None,
         done: bool = True) -> Path:  # fmt: skip
    config: Mapping[str, Any] = {"fold": fold}
    with run.opened(root, model, config, {}, name=name) as one:
        state = "finished" if done else "unfinished"
        durable.write_json(one.folder / "state.json", {"state": state, "opened": opened})
        if done:
            (one.folder / CARD).touch()
    return root / "runs" / model / name


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    made(tmp_path, "denoiser", "a", 1)
    made(tmp_path, "denoiser", "both", 2)
    made(tmp_path, "classifier", "b", 3)
    made(tmp_path, "classifier", "both", 4)
    for number in (2, 1):
        made(tmp_path, "classifier", f"f-{number}of2", 5 + number, (number, 2))
    monkeypatch.setenv("ARTIFACTS", str(tmp_path))
    return tmp_path


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Seen:
    """Which scripts were called, with what."""
    found: Seen = []

    def script(name: str) -> Any:
        def called(asked: list[str], standalone_mode: bool) -> None:
            assert not standalone_mode
            found.append((name, asked))

        return SimpleNamespace(
            cli=SimpleNamespace(main=called),
            resume=lambda folder, checkpoint: found.append((name, [folder.name, checkpoint])),
        )

    monkeypatch.setattr(models.importlib, "import_module", script)
    return found


@pytest.mark.parametrize("command", ["analyze", "evaluate", "export"])
@pytest.mark.parametrize(
    ("asked", "model"),
    [("a", "denoiser"), ("denoiser/both", "denoiser"), ("classifier/both", "classifier"),
     ("b, a", "classifier"), ("a b", "denoiser"),
     ("f", "classifier"), ("classifier/f", "classifier"),
     ("f-2of2", "classifier"), ("", "classifier"), ("  ", "classifier")],
)  # fmt: skip
def test_a_run_of_either_calls_its_own_script(
    root: Path, seen: Seen, monkeypatch: pytest.MonkeyPatch, command: str, asked: str, model: str
) -> None:
    monkeypatch.setenv("RUN", asked)
    of_any_model.command([command])
    assert seen == [(f"training.{model}.__main__", [command])]


def test_without_a_name_it_is_the_last_one_of_any_model(
    root: Path, seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RUN", raising=False)
    made(root, "denoiser", "new", 20)
    made(root, "classifier", "stopped", 30, done=False)
    of_any_model.command(["evaluate"])
    assert seen == [("training.denoiser.__main__", ["evaluate"])]


@pytest.mark.parametrize(
    ("asked", "said"),
    [("both", "several such runs; expected one of classifier/both, denoiser/both; got both"),
     ("nobody", "no such run; expected one of classifier/b, .*, denoiser/both; got nobody"),
     ("denoiser/f", "no such run"), ("/etc", "no such run"), ("*", "no such run")],
)  # fmt: skip
def test_a_name_that_names_no_run_is_told_the_known_ones(
    root: Path, seen: Seen, monkeypatch: pytest.MonkeyPatch, asked: str, said: str
) -> None:
    monkeypatch.setenv("RUN", asked)
    with pytest.raises(RunError, match=said):
        of_any_model.command(["analyze"])
    assert not seen


@pytest.mark.parametrize("asked", [[], ["train"], ["analyze", "x"], ["--help"]])
def test_other_commands_are_refused(root: Path, seen: Seen, asked: list[str]) -> None:
    with pytest.raises(Changed, match="no such command; expected .*evaluate or export or classify"):
        of_any_model.command(asked)
    assert not seen


@pytest.mark.parametrize(
    ("command", "said"),
    [("evaluate", r"no finished run\. Start one with make train-\.\.\."),
     ("classify", r"no finished run of a classifier or a hybrid\. Start one with make "
                  "train-classifier$")],
)  # fmt: skip
def test_where_there_is_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, said: str
) -> None:
    monkeypatch.setenv("ARTIFACTS", str(tmp_path))
    monkeypatch.delenv("RUN", raising=False)
    made(tmp_path, "classifier", "stopped", 1, done=False)
    if command == "classify":
        made(tmp_path, "denoiser", "a", 2)  # which does not
    with pytest.raises(Nothing, match=said):
        of_any_model.command([command])


# ------------------------------------------------------------------ what some models do


@pytest.mark.parametrize("last", ["classifier", "hybrid"])
def test_without_a_name_it_is_the_last_one_of_those_that_can(
    root: Path, seen: Seen, monkeypatch: pytest.MonkeyPatch, last: str
) -> None:
    monkeypatch.delenv("RUN", raising=False)
    for opened, model in enumerate(sorted({"classifier", "hybrid"}, key=lambda m: m == last), 20):
        made(root, model, "new", opened)
    for model in ("denoiser", "tagger"):  # no classes
        made(root, model, "newer", 30)
    made(root, "hybrid", "stopped", 40, done=False)
    of_any_model.command(["classify"])
    assert seen == [(f"training.{last}.__main__", ["classify"])]


def test_one_that_is_named_does_it_where_it_can(
    root: Path, seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(root, "hybrid", "h", 9)
    for asked, model in (("b", "classifier"), ("classifier/both", "classifier"),
                         ("f", "classifier"), ("hybrid/h", "hybrid")):  # fmt: skip
        monkeypatch.setenv("RUN", asked)
        of_any_model.command(["classify"])
        assert seen.pop() == (f"training.{model}.__main__", ["classify"])
    made(root, "tagger", "t", 9)
    for asked, model, name in (("denoiser/both", "denoiser", "both"), ("t", "tagger", "t")):
        monkeypatch.setenv("RUN", asked)
        with pytest.raises(Changed) as said:
            of_any_model.command(["classify"])
        assert str(said.value) == (
            f"{root}/runs/{model}/{name}: a {model} does not classify. "
            "Name a run of a classifier or a hybrid"
        )
    assert not seen


# ------------------------------------------------------------------ folds


def test_folds_come_in_their_order(root: Path) -> None:
    wanted = ["f-1of2", "f-2of2"]
    assert [folder.name for folder in folds_of(root, "f")] == wanted
    assert [folder.name for folder in folds_of(root, "classifier/f", "classifier")] == wanted
    for number in range(1, 12):
        made(root, "classifier", f"g-{number}of11", 9, (number, 11))
    assert [folder.name for folder in folds_of(root, "g")] == [f"g-{k}of11" for k in range(1, 12)]


def test_what_is_only_called_like_folds_is_none(root: Path) -> None:
    made(root, "classifier", "x-proof", 9)
    made(root, "classifier", "x-1of2", 9)  # a name that a person chose
    made(root, "classifier", "x-y-1of2", 9, (1, 2))
    assert folds_of(root, "x") == []
    assert len(folds_of(root, "x-y")) == 1
    assert folds_of(root, "f", "denoiser") == []
    assert folds_of(root, "f-1of2") == []
    made(root, "classifier", "f", 9)
    assert folds_of(root, "f") == []  # the run of that very name


# ------------------------------------------------------------------ resume


def test_the_last_interrupted_run_of_any_model_goes_on(
    root: Path, seen: Seen, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("RUN", "CHECKPOINT"):
        monkeypatch.delenv(name, raising=False)
    made(root, "denoiser", "old", 10, done=False)
    folder = made(root, "classifier", "s-1of3", 11, (1, 3), done=False)
    resume.resume()
    assert seen == [("training.classifier.__main__", ["s-1of3", ""])]
    assert capsys.readouterr().err == f"going on with {folder}\n"
    monkeypatch.setenv("RUN", "denoiser/both")
    monkeypatch.setenv("CHECKPOINT", "12")
    resume.resume()
    assert seen[1:] == [("training.denoiser.__main__", ["both", "12"])]


def test_a_run_of_a_model_that_nobody_knows(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(root, "painter", "d", 99)
    for command in (resume.resume, lambda: of_any_model.command(["export"])):
        monkeypatch.setenv("RUN", "d")
        with pytest.raises(RunError, match="unknown model; expected denoiser, .*; got pai") as said:
            command()
        known = ("classifier", "tagger", "hybrid", "diarizer")
        assert all(model in str(said.value) for model in known)


# ------------------------------------------------------------------ what is not installed


@pytest.mark.parametrize(("asked", "missing", "target"),
                         [("b", "tensorflow", "tensorflow"), ("a", "torch", "torch")])  # fmt: skip
@pytest.mark.parametrize("command", ["resume", "evaluate", "export"])
def test_what_brings_a_framework_that_is_missing_is_said(
    root: Path, tmp_path: Path, asked: str, missing: str, target: str, command: str
) -> None:
    """In a Python that has neither."""
    code = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name in ("torch", "tensorflow", "keras"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
"""
    env = corpus.hook(tmp_path / "hook", code) | {"ARTIFACTS": str(root), "RUN": asked}
    module = ["training.resume"] if command == "resume" else ["training", command]
    done = subprocess.run(
        [sys.executable, "-m", *module], cwd=corpus.REPO, env=corpus.environment(env),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    folder = next((root / "runs").glob(f"*/{asked}"))
    last = done.stderr.splitlines()[-1]
    assert (done.returncode, done.stdout) == (1, "")
    assert last == (f"{folder}: {missing} is not installed. Run make {target}, then make {command}")
    assert len(done.stderr.splitlines()) <= 1 + (command == "resume")  # which says what it does


# ------------------------------------------------------------------ what make exports


def test_make_and_the_commands_know_the_same_variables() -> None:
    for name in ("torch", "tensorflow"):
        pytest.importorskip(name)
    text = (corpus.REPO / "Makefile").read_text()
    # Those of data are on a line of their own; training has some of them, too.
    known, of_data = (" ".join(re.findall(rf"^ASKED {sign}= (.*)$", text, re.M)).split()
                      for sign in (r"\+", ":"))  # fmt: skip
    told = set()
    for package, _ in models.MODELS.values():
        commands = importlib.import_module(f"{package}.__main__").cli.commands.values()
        told |= {str(option.envvar) for command in commands for option in command.params}
    assert told & set(of_data) == {"ARTIFACTS", "RECIPE", "JOBS", "MAX_RAM"}
    assert sorted(known) == sorted(told - set(of_data) | {"CHECKPOINT", "PROCESSES"})
    assert sorted(known) == sorted(corpus.TRAINING)
    assert "CHECKPOINT" in Path(resume.__file__).read_text()
    assert "$$PROCESSES" in text


# ------------------------------------------------------------------ a closed pipe


CLOSED = """
import sys, click
from training.run import main
@click.command()
def told():
    for k in range(int(sys.argv[1])):
        print("x" * 999)
    {after}
sys.exit(main(lambda: told.main([], standalone_mode=False)))
"""


@pytest.mark.parametrize("lines", ["1", "500"])  # what fits into a buffer, and what does not
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("after", ["pass", "sys.exit(1)"])
def test_who_closes_the_pipe_has_seen_enough(lines: str, unbuffered: str, after: str) -> None:
    read, write = os.pipe()
    os.close(read)
    env = corpus.environment({"PYTHONUNBUFFERED": unbuffered})
    done = subprocess.run(
        [sys.executable, "-c", CLOSED.format(after=after), lines], cwd=corpus.REPO, env=env,
        stdout=write, stderr=subprocess.PIPE, check=False,
    )  # fmt: skip
    os.close(write)
    assert (done.returncode, done.stderr) == (0, b"")
