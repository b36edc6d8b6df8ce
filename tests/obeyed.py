"""What the commands of several models are held to, whichever model it is.

Reads: runs, and what commands leave in them. Does: runs a model's commands on the runs `a`, of two
epochs, and `b`, and says whether they do as they should. Writes: where these commands do.
"""

import functools
import json
import re
import shutil
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests import here, trainings
from tests.commanded import Script, Told
from training.data.index import DataError, load_index
from training.graph.usage import FILES, TOLD
from training.run import read_state


def assert_budget_is_shared(
    monkeypatch: pytest.MonkeyPatch, train: Callable[[], Told], runs: int
) -> list[Any]:
    """An hour that a command has is dealt out to so many runs, which are returned and not begun."""
    plans: list[Any] = []
    begin = "training.classes.course.begun"
    monkeypatch.setattr(begin, lambda kind, root, plan, *rest: plans.extend(plan))
    one = train()
    assert one.code == 0, one.err
    settings = [each.config["settings"] for each in plans]
    assert [(one["budget"], one["shared"]) for one in settings] == [(3600, runs)] * runs
    return plans


def names(where: Path) -> set[str]:
    return {path.name for path in where.iterdir()}


def learnt(written: set[str]) -> list[str]:
    """Of the files that were written: what training writes."""
    return [name for name in written if re.search("checkpoints|metrics|config", name)]


def finite(text: str) -> Any:
    """JSON of numbers alone."""

    def refuse(word: str) -> None:
        raise AssertionError(word)

    return json.loads(text, parse_constant=refuse)


def assert_one_line(one: Told, code: int, said: str) -> None:
    """All that it says."""
    assert (one.code, one.out, len(one.err.splitlines())) == (code, "", 1), one.err
    assert said in one.err


# ------------------------------------------------------------------ train, resume


def assert_leaves_all(where: Path, recipe: str, drawn: Sequence[str]) -> None:
    """What a person wants of a run that was measured: with pictures of these names."""
    pictures = {"training_history.png", *(f"{name}-{recipe}.png" for name in drawn)}
    assert {
        "config.json", "metrics.jsonl", f"evaluation-{recipe}.json", "MODEL.md", "checkpoints",
        "state.json", *pictures,
    } <= names(where)  # fmt: skip
    assert all((where / name).read_bytes().startswith(b"\x89PNG") for name in pictures)
    assert read_state(where)["state"] == "finished"


def assert_trains_nothing_again(of: Script, artifacts: Path, steps: int, file: str) -> None:
    """The same command again measures alone."""
    before = here.stamps(artifacts / "runs")
    again = of.told("train", artifacts, RUN="a")
    assert again.code == 0, again.err
    assert f"{steps} steps" in again.err
    assert "epoch" not in again.err.replace("all epochs", "")
    written = here.written(before, here.stamps(artifacts / "runs"))
    assert f"{of.model}/a/{file}" in written
    assert not learnt(written)


def assert_named_by_what_determines_it(of: Script, artifacts: Path, **known: str) -> None:
    shutil.rmtree(artifacts / "runs")
    for more in ({}, {}, {"SEED": "3"}):
        assert of.told("train", artifacts, EPOCHS="1", **known, **more).code == 0
    assert len(names(artifacts / "runs" / of.model)) == 2


def assert_finished_though_not_measured(
    of: Script, artifacts: Path, report: ModuleType, measures: str
) -> None:
    """`measures` is the function of the report that finds nothing to measure with."""

    def missing(*rest: Any) -> Any:
        raise DataError("nothing in test", "there", "an example", 0, "add recordings")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, measures, missing)
        one = of.told("train", artifacts, RUN="blind", EPOCHS="1")
    where = of.folder(artifacts, "blind")
    last = one.err.splitlines()[-1]
    assert (one.code, one.out) == (1, "")
    assert last.startswith(f"{where}: the run is finished, but not measured (there: nothing in")
    assert last.endswith("Mend that, then make evaluate RUN=blind")
    assert read_state(where)["state"] == "finished"
    assert {"training_history.png", "MODEL.md"} <= names(where)
    before = (where / "MODEL.md").read_text()
    assert of.told("evaluate", artifacts, RUN="blind").code == 0
    assert (where / "MODEL.md").read_text() != before


def assert_back_to_a_checkpoint(of: Script, made: Path, artifacts: Path, *steps: int) -> None:
    """To the first of all its checkpoints, and to none that there is not."""
    where, known = of.folder(artifacts, "a"), ", ".join(map(str, steps))
    one = of.told("resume", artifacts, RUN="a", CHECKPOINT=str(steps[0]))
    assert one.code == 0, one.err
    assert f"{where}: going on from step {steps[0]}" in one.err
    assert trainings.told(where) == trainings.told(of.folder(made, "a"))
    for text, code, said in (
        ("best", 2, "not a checkpoint; expected a step"),
        ("5", 1, f"no such checkpoint; expected one of {known}; got 5"),
    ):
        one = of.told("resume", artifacts, RUN="a", CHECKPOINT=text)
        assert one.code == code
        assert said in one.err


# ------------------------------------------------------------------ evaluate, analyze


def assert_side_by_side(of: Script, artifacts: Path, file: str, beside: Sequence[str]) -> None:
    """`b` and `a`, and what stands beside every run."""
    before = here.stamps(artifacts / "runs")
    one = of.told("evaluate", artifacts, RUN="b, a")
    assert one.code == 0, one.err
    for name in ("a", "b", *beside):
        assert re.search(rf"^{re.escape(name)} +\d", one.out, re.M)
    assert "How far b lies above each" in one.out
    found = finite((of.folder(artifacts, "b") / file).read_text())
    assert set(found["systems"]) == {"a", "b", *beside}
    assert (found["ours"], set(found["ahead"])) == ("b", {"a", *beside})
    written = here.written(before, here.stamps(artifacts / "runs"))
    assert written
    assert not [name for name in written if not name.startswith(f"{of.model}/b/")]


def assert_measured_on_another(
    of: Script, artifacts: Path, recipes: tuple[str, str], said: str, files: set[str]
) -> None:
    """On the second recipe, though trained on the first; the card tells of both."""
    where = of.folder(artifacts, "a")
    one = of.told("evaluate", artifacts, RUN="a", ON=recipes[1])
    assert one.code == 0, one.err
    assert said in one.out
    assert files <= names(where)
    card = (where / "MODEL.md").read_text()
    assert all(recipe in card for recipe in recipes)
    assert "WARNING" not in one.err


def assert_warned_of_other_shards(
    of: Script, artifacts: Path, rooms: tuple[ModuleType, ModuleType], commands: Sequence[str]
) -> None:
    """Measured with a warning, by the first of these modules; by the second one not used."""
    report, use = rooms
    other = functools.partial(replace, key="f" * 64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "load_index", lambda path: other(load_index(path)))
        one = of.told("evaluate", artifacts, RUN="a")
        assert one.code == 0
        said = f"{of.known['RECIPE']}: built anew since a was trained, which may have learnt"
        assert said in one.err
        patch.setattr(use, "load_index", report.load_index)
        for command in commands:
            one = of.told(command, artifacts, RUN="a")
            assert (one.code, len(one.err.splitlines())) == (2, 1)
            assert "the shards were built anew since the run was trained" in one.err


def assert_draws_the_same_again(
    of: Script, made: tuple[Path, dict[str, Told]], artifacts: Path, count: int,
    drawn: Callable[[], AbstractContextManager[None]],
) -> None:  # fmt: skip
    """As many pictures, and the card, from what was measured."""
    where = of.folder(artifacts, "a")
    pictures = sorted(where.glob("*.png"))
    assert len(pictures) == count
    before = {path: path.read_bytes() for path in (*pictures, where / "MODEL.md")}
    for path in before:
        path.unlink()
    shutil.rmtree(where / "checkpoints")  # nothing is measured again
    with drawn():
        one = of.told("analyze", artifacts, RUN="a")
    assert one.code == 0, one.err
    assert one.out.replace(str(artifacts), "") == made[1]["a"].out.replace(str(made[0]), "")
    assert {path: path.read_bytes() for path in before} == before


# ------------------------------------------------------------------ export


def assert_exported(of: Script, artifacts: Path) -> dict[str, Any]:
    """All files of `a`, each told and named by a card that stays; what was kept of them."""
    where = of.folder(artifacts, "a")
    one = of.told("export", artifacts, RUN="a")
    assert one.code == 0, one.err
    assert set(FILES) <= names(where)
    assert [line.split(":")[0] for line in one.out.splitlines()[:-1]] == [
        str(where / name) for name in FILES
    ]
    card = (where / "MODEL.md").read_text()
    assert all(f"`{name}`" in card for name in FILES)
    assert of.told("analyze", artifacts, RUN="a").code == 0
    assert (where / "MODEL.md").read_text() == card
    told: dict[str, Any] = finite((where / TOLD).read_text())
    return told


# ------------------------------------------------------------------ any command


def assert_known_runs_told(
    of: Script, command: str, artifacts: Path, empty: Path, known: str, **more: str
) -> None:
    """Of a run that is unknown, and where there is none."""
    assert_one_line(
        of.told(command, artifacts, RUN="aa", **more), 1,
        f"no such run; expected one of {known}; got aa",
    )  # fmt: skip
    one = of.told(command, empty, **more)
    assert (one.code, len(one.err.splitlines())) == (1, 1)
    assert f"{empty}/runs: no finished run" in one.err


def assert_one_at_a_time(of: Script, command: str, artifacts: Path, **more: str) -> None:
    one = of.told(command, artifacts, RUN="a, b", **more)
    said = f"RUN: one {of.model} at a time; expected one name; got a, b\n"
    assert (one.code, one.err) == (2, said)
