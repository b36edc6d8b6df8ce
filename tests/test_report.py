"""What is made of a finished run of whatever model: drawn anew, told when it cannot be measured.

Reads and writes runs in pytest's folders. The model here is none: its table, pictures and card say
what they were given.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from training import durable, report
from training.data.index import DataError
from training.errors import Changed, RunError
from training.history import LOSS, RATE
from training.report import Report, counts, redrawn, warn, whole
from training.run import opened

CONFIG = {"recipe": "one", "settings": {"score": "-loss"}}
DATA = {"one": "key-1", "two": "key-2"}


def index(name: str, key: str) -> Any:
    where = Path("shards") / name
    return SimpleNamespace(name=name, key=key, folder=where, counts={"train": len(key)})


@dataclass
class Given:
    """What the pieces of a report were asked."""

    cards: list[tuple[Any, ...]] = field(default_factory=list)
    pictures: list[tuple[str, Path]] = field(default_factory=list)
    curves: list[tuple[Path, list[dict[str, Any]], dict[str, Any]]] = field(default_factory=list)

    def card(
        self,
        facts: Mapping[str, Any],
        told: Mapping[str, Any],
        name: str,
        exports: Mapping[str, Any] | None,
        held: Mapping[str, Any],
    ) -> str:
        self.cards.append((facts, told, name, exports, held))
        return f"# {name}: {len(self.cards)}. äöü\n"

    def report(self) -> Report:
        return Report(
            panels=(LOSS, RATE),
            table=lambda one: f"table of {one['recipe']}: {one['score']}",
            pictures=lambda one, folder: self.pictures.append((one["recipe"], folder)),
            card=self.card,
            exports="exports.json",
        )


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> Given:
    made = Given()

    def history(rows: list[dict[str, Any]], path: Path, **more: Any) -> None:
        made.curves.append((path, rows, more))

    indexes = {"one": index("one", "key-1"), "two": index("two", "another")}

    def load_index(path: Path) -> Any:
        if path.name not in indexes:
            raise DataError("no index", path)
        assert path.parent.name == "artifacts"
        return indexes[path.name]

    monkeypatch.setattr(report, "history", history)
    monkeypatch.setattr(report, "load_index", load_index)
    return made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run with two epochs of 5 steps, measured on two recipes."""
    with opened(tmp_path / "artifacts", "toy", CONFIG, DATA, name="a", threads=1) as run:
        for step in (5, 10):
            run.log(kind="train", step=step, loss=1.0 / step)
            run.log(kind="valid", step=step, loss=2.0 / step)
        run.mark("finished")
    for recipe, score in (("two", 0.25), ("one", 0.5)):
        measured(run.folder, recipe, score)
    return run.folder


def measured(where: Path, recipe: str, score: float) -> None:
    durable.write_json(where / f"evaluation-{recipe}.json", {"recipe": recipe, "score": score})


# ------------------------------------------------------------------ redrawn


def test_all_is_drawn_from_what_was_measured(given: Given, folder: Path) -> None:
    told = redrawn(given.report(), folder)
    assert told.splitlines() == [
        "table of one: 0.5", "table of two: 0.25", f"curves, tables, pictures and card: {folder}",
    ]  # fmt: skip
    assert given.pictures == [("one", folder), ("two", folder)]
    ((path, rows, more),) = given.curves
    assert path == folder / "training_history.png"
    assert [(row["kind"], row["loss"]) for row in rows] == [
        ("train", 0.2), ("valid", 0.4), ("train", 0.1), ("valid", 0.2),
    ]  # fmt: skip
    assert more == {"panels": (LOSS, RATE), "steps": 5, "score": "-loss"}
    ((facts, summaries, name, exports, held),) = given.cards
    assert (facts["config"], facts["data"]) == (CONFIG, DATA)
    assert summaries == {n: {"recipe": n, "score": s} for n, s in (("one", 0.5), ("two", 0.25))}
    assert (name, exports) == ("a", None)
    assert held == {"one": {"train": 5}}  # two was built anew since
    assert (folder / "MODEL.md").read_text(encoding="utf-8") == "# a: 1. äöü\n"


def test_it_can_be_drawn_again_at_any_time(given: Given, folder: Path) -> None:
    redrawn(given.report(), folder)
    measured(folder, "one", 0.75)
    (folder / "evaluation-two.json").unlink()
    assert redrawn(given.report(), folder).splitlines()[:-1] == ["table of one: 0.75"]
    assert (folder / "MODEL.md").read_text(encoding="utf-8").startswith("# a: 2.")
    assert given.cards[0][:1] == given.cards[1][:1]


def test_exports_are_told_of_where_there_are_some(given: Given, folder: Path) -> None:
    durable.write_json(folder / "exports.json", {"files": ["a.tflite"]})
    redrawn(given.report(), folder)
    assert given.cards[0][3] == {"files": ["a.tflite"]}


def test_weights_that_came_from_elsewhere_have_no_curves(given: Given, folder: Path) -> None:
    (folder / "metrics.jsonl").unlink()
    told = redrawn(given.report(), folder)
    assert given.curves == []
    assert len(given.cards) == 1
    assert len(told.splitlines()) == 3


def test_a_run_that_was_never_validated_has_curves_over_its_steps(
    given: Given, folder: Path
) -> None:
    row = {"kind": "train", "step": 3, "loss": 1.0}
    (folder / "metrics.jsonl").write_text(json.dumps(row) + "\n")
    redrawn(given.report(), folder)
    ((_, rows, more),) = given.curves
    assert (rows, more["steps"]) == ([row], 0)


def test_a_run_that_was_never_measured_has_its_card(given: Given, folder: Path) -> None:
    for path in folder.glob("evaluation-*"):
        path.unlink()
    assert redrawn(given.report(), folder) == f"curves, tables, pictures and card: {folder}"
    assert given.cards[0][1] == {}


def test_a_measurement_that_a_hand_has_changed_is_refused(given: Given, folder: Path) -> None:
    path = folder / "evaluation-one.json"
    path.write_text(path.read_text().replace("0.5", "0.9"))
    with pytest.raises(RunError, match=r"evaluation-one\.json: its content does not match its"):
        redrawn(given.report(), folder)
    assert not (folder / "MODEL.md").exists()


def test_the_card_comes_last(given: Given, folder: Path) -> None:
    """A run without a card is one to go on with."""

    def broken(one: Mapping[str, Any], folder: Path) -> None:
        raise RunError("no pictures without matplotlib")

    made = given.report()
    with pytest.raises(RunError, match="no pictures"):
        redrawn(Report(made.panels, made.table, broken, made.card, made.exports), folder)
    assert not (folder / "MODEL.md").exists()


@pytest.mark.parametrize(
    ("data", "found"),
    [({"one": "key-1"}, ["one"]), ({"one": "key-2"}, []), ({"gone": "key-1"}, []), ({}, []),
     ({"gone": "x", "one": "key-1", "two": "another"}, ["one", "two"])],
)  # fmt: skip
def test_sizes_are_those_that_the_run_learnt_from(
    given: Given, tmp_path: Path, data: dict[str, str], found: list[str]
) -> None:
    assert list(counts(tmp_path / "artifacts", data)) == found


# ------------------------------------------------------------------ whole


def test_what_was_measured_is_what_is_printed(folder: Path) -> None:
    def drawn(where: Path) -> str:
        raise AssertionError("drawn twice")

    assert whole(folder, lambda: "the table", drawn) == "the table"


@pytest.mark.parametrize(
    "error",
    [DataError("nothing in test", "there", "an example", 0, "add recordings"),
     Changed("a classifier of other classes", "there", 3, 4)],
)  # fmt: skip
def test_what_cannot_be_measured_is_told_after_all_else_is_made(
    folder: Path, capsys: pytest.CaptureFixture[str], error: Exception
) -> None:
    calls: list[Path] = []

    def measured() -> str:
        raise error

    def drawn(where: Path) -> str:
        calls.append(where)
        return "curves and card"

    with pytest.raises(RunError) as said:
        whole(folder, measured, drawn)
    assert calls == [folder]
    assert capsys.readouterr() == ("", "curves and card\n")
    assert str(said.value) == (
        f"{folder}: the run is finished, but not measured ({error}). Mend that, then make evaluate "
        "RUN=a"
    )
    assert said.value.exit_code == 1
    assert said.value.__cause__ is error


def test_a_mistake_of_ours_is_no_reason_to_go_on(folder: Path) -> None:
    def measured() -> str:
        raise ZeroDivisionError

    def drawn(where: Path) -> str:
        raise AssertionError("not drawn")

    with pytest.raises(ZeroDivisionError):
        whole(folder, measured, drawn)


# ------------------------------------------------------------------ warn


@pytest.mark.parametrize(
    ("name", "key", "warned"),
    [("one", "key-1", False), ("one", "key-9", True), ("other", "key-9", False)],
)
def test_other_shards_than_a_run_learnt_from_are_warned_of(
    capsys: pytest.CaptureFixture[str], name: str, key: str, warned: bool
) -> None:
    """Of a recipe that it has not learnt from there is nothing to say."""
    warn({"data": DATA}, "a", index(name, key))
    out, err = capsys.readouterr()
    assert out == ""
    said = f"WARNING: shards/{name}: built anew since a was trained, which may have learnt from "
    assert err == (f"{said}what is in the test part now\n" if warned else "")
