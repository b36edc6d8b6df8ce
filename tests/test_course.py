"""Several runs under one name: in their order, gone on with where they stopped, named as no other.

Reads and writes runs in pytest's folders. What is trained here is nothing: a run is opened and
marked as finished. Needs TensorFlow, whose session is cleared in between.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("tensorflow")

import keras  # noqa: E402

from tests.trainings import KERAS  # noqa: E402
from training.classes import course  # noqa: E402
from training.classes.course import begun, of_fold, resumed  # noqa: E402
from training.classes.kind import Planned, Set  # noqa: E402
from training.errors import Changed, Interrupted  # noqa: E402
from training.run import opened, read_config, read_state  # noqa: E402

ALONE = {"width": 3, "fold": None, "variant": ""}
Config = Mapping[str, Any]


def folds(config: Config) -> list[tuple[str, dict[str, Any]]]:
    """What is added to the name of each fold, and its configuration."""
    if not config["fold"]:
        return [("", dict(config))]
    each = [[k + 1, config["fold"][1]] for k in range(config["fold"][1])]
    return [(of_fold("", fold), {**config, "fold": fold}) for fold in each]


@dataclass
class Toy:
    """A kind with a variant that each model is compared with."""

    stop: str = ""  # the run that is interrupted
    model: str = "toy"
    processes: int = 1
    trained: list[str] = field(default_factory=list)
    measured: list[Sequence[Set]] = field(default_factory=list)
    drawn: list[str] = field(default_factory=list)
    cleared: list[int] = field(default_factory=list)  # by then trained

    def train(self, root: Path, config: Config, name: str, checkpoint: int = -1) -> Any:
        if self.processes > 1:
            return None
        with opened(root, "toy", config, {"one": "key"}, name=name, threads=1) as run:
            if checkpoint >= 0:
                self.trained.append(f"{run.folder.name} from {checkpoint}")
                run.mark("unfinished")
            if not run.finished:
                self.trained.append(run.folder.name)
                if run.folder.name == self.stop:
                    raise Interrupted(15, run.folder)
                run.mark("finished")
            return run.folder, SimpleNamespace(told="done")

    def plan(self, root: Path, config: Config) -> list[Planned]:
        """On each fold: the variant, then the model."""
        return [
            Planned(f"{'-raw' if variant else ''}{end}", {**one, "variant": variant}, not variant)
            for end, one in folds(config)
            for variant in ("raw", "")
        ]


@dataclass
class Simple(Toy):
    """Without variants."""

    def plan(self, root: Path, config: Config) -> list[Planned]:
        return [Planned(end, one) for end, one in folds(config)]


@pytest.fixture(autouse=True)
def watched(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is measured and drawn is noted in the kind."""
    kinds: list[Toy] = []

    def evaluation(kind: Toy, sets: Sequence[Set], root: Path) -> str:
        kind.measured.append(sets)
        return "the table"

    def whole(kind: Toy, folder: Path, root: Path) -> str:
        return evaluation(kind, [Set(folder.name, (folder,))], root)

    def train(kind: Toy, *rest: Any, real: Any = course._trained) -> Any:
        kinds.append(kind)
        return real(kind, *rest)

    monkeypatch.setattr(course.report, "evaluation", evaluation)
    monkeypatch.setattr(course.report, "whole", whole)
    monkeypatch.setattr(
        course.report, "redrawn", lambda kind, folder: kind.drawn.append(folder.name)
    )
    monkeypatch.setattr(course, "_trained", train)
    clear = lambda: kinds[-1].cleared.append(len(kinds[-1].trained))  # noqa: E731
    monkeypatch.setattr(keras.backend, "clear_session", clear)


def of(count: int, number: int = 1, **more: Any) -> dict[str, Any]:
    return ALONE | {"fold": [number, count]} | more


def begin(kind: Toy, root: Path, config: Config, name: str = "a", key: str = "key") -> None:
    begun(kind, root, kind.plan(root, config), name, key)  # type: ignore[arg-type]


def resume(kind: Toy, root: Path, name: str, checkpoint: int = -1) -> None:
    resumed(kind, root / "runs" / "toy" / name, checkpoint)  # type: ignore[arg-type]


def states(root: Path) -> dict[str, str]:
    runs = sorted((root / "runs" / "toy").iterdir())
    return {run.name: read_state(run)["state"] for run in runs}


SIX = ["a-raw-1of3", "a-1of3", "a-raw-2of3", "a-2of3", "a-raw-3of3", "a-3of3"]


# ------------------------------------------------------------------ the plan


def test_the_name_of_a_fold_tells_its_number() -> None:
    assert (of_fold("a-b", None), of_fold("a-b", (2, 10))) == ("a-b", "a-b-2of10")


# ------------------------------------------------------------------ begun


def test_all_are_trained_one_after_the_other_then_measured_together(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kind = Toy()
    begin(kind, tmp_path, of(3))
    assert kind.trained == kind.drawn == SIX
    assert kind.cleared == [1, 2, 3, 4, 5, 6]
    where = tmp_path / "runs" / "toy"
    # Of what is only compared with nothing is told here.
    assert kind.measured == [[Set("a", tuple(where / f"a-{k}of3" for k in (1, 2, 3)))]]
    configs = [read_config(where / name)["config"] for name in SIX]
    assert [one["fold"] for one in configs] == [[k, 3] for k in (1, 1, 2, 2, 3, 3)]
    assert [one["variant"] for one in configs] == ["raw", ""] * 3
    out, err = capsys.readouterr()
    assert out == "the table\n"
    told = (f"fold {k} of 3" for k in (1, 1, 2, 2, 3, 3))
    assert err.splitlines() == [
        line
        for number, (name, fold) in enumerate(zip(SIX, told, strict=True))
        for line in (f"{number + 1} of 6: {fold}: {name}", f"{where / name}: done")
    ]


def test_a_run_of_its_own_is_measured_as_one(tmp_path: Path) -> None:
    kind = Simple()
    begin(kind, tmp_path, ALONE)
    assert kind.trained == ["a"]
    assert kind.measured == [[Set("a", (tmp_path / "runs" / "toy" / "a",))]]
    assert kind.cleared == kind.drawn == []


def test_a_variant_is_enough_to_be_several(tmp_path: Path) -> None:
    kind = Toy()
    begin(kind, tmp_path, ALONE)
    assert kind.trained == kind.drawn == ["a-raw", "a"]
    assert kind.measured == [[Set("a", (tmp_path / "runs" / "toy" / "a",))]]


def test_those_without_a_name_share_one_that_follows_from_all_that_counts(tmp_path: Path) -> None:
    kind = Toy()
    begin(kind, tmp_path, of(2), "")
    names = {name.removesuffix(f"{v}-{k}of2") for name in kind.trained for k in (1, 2) for v in
             ("-raw", "") if name.endswith(f"{v}-{k}of2")}  # fmt: skip
    short = min(names, key=len)
    assert len(short) == 8
    ends = ["-raw-1of2", "-1of2", "-raw-2of2", "-2of2"]
    assert kind.trained == [f"{short}{end}" for end in ends]
    begin(kind, tmp_path, of(2), "")
    assert len(kind.trained) == 4  # all of them were there
    for config, key in ((of(2, width=4), "key"), (of(2), "other"), (of(3), "key")):
        before = len(kind.trained)
        begin(kind, tmp_path, config, "", key)
        assert not any(name.startswith(short) for name in kind.trained[before:])
    assert len(kind.trained) == 4 + 4 + 4 + 6


def test_the_same_again_trains_nothing_and_tells_all(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    begin(Toy(), tmp_path, of(2))
    first, kind = capsys.readouterr(), Toy()
    begin(kind, tmp_path, of(2))
    assert kind.trained == []
    assert len(kind.measured) == 1
    assert kind.drawn == ["a-raw-1of2", "a-1of2", "a-raw-2of2", "a-2of2"]
    assert capsys.readouterr() == first


# ------------------------------------------------------------------ interrupted


@pytest.mark.parametrize("stopped", range(6))
@pytest.mark.parametrize("way", ["begin", "resume"])
def test_an_interrupted_course_goes_on_with_the_runs_that_are_missing(
    tmp_path: Path, stopped: int, way: str, capsys: pytest.CaptureFixture[str]
) -> None:
    kind = Toy(stop=SIX[stopped])
    with pytest.raises(Interrupted):
        begin(kind, tmp_path, of(3))
    assert kind.trained == SIX[: stopped + 1]
    assert kind.measured == kind.drawn == []
    ends = ["finished"] * stopped + ["unfinished"]
    assert states(tmp_path) == dict(zip(SIX, ends, strict=False))
    kind = Toy()
    capsys.readouterr()
    if way == "begin":
        begin(kind, tmp_path, of(3))
    else:
        resume(kind, tmp_path, SIX[stopped])
    assert kind.trained == SIX[stopped:]
    assert kind.cleared[-1] == 6 - stopped
    said = capsys.readouterr().err.splitlines()
    assert len(said) == len(set(said))  # nothing twice
    where = tmp_path / "runs" / "toy"
    assert kind.measured == [[Set("a", tuple(where / f"a-{k}of3" for k in (1, 2, 3)))]]
    assert kind.drawn == SIX
    assert states(tmp_path) == dict.fromkeys(sorted(SIX), "finished")


def test_a_course_whose_middle_was_deleted_is_filled_up(tmp_path: Path) -> None:
    begin(Simple(), tmp_path, of(3))
    for path in (tmp_path / "runs" / "toy" / "a-2of3").iterdir():
        path.unlink()
    kind = Simple()
    begin(kind, tmp_path, of(3))
    assert kind.trained == ["a-2of3"]
    assert len(kind.measured) == 1


def test_one_that_goes_back_to_a_checkpoint_does_so_alone(tmp_path: Path) -> None:
    begin(Toy(), tmp_path, of(2))
    kind = Toy()
    resume(kind, tmp_path, "a-raw-2of2", 40)
    assert kind.trained == ["a-raw-2of2 from 40", "a-raw-2of2"]
    assert len(kind.measured) == 1
    kind = Simple()
    begin(Simple(), tmp_path, ALONE, "b")
    resume(kind, tmp_path, "b", 7)
    assert kind.trained == ["b from 7", "b"]
    assert kind.measured == [[Set("b", (tmp_path / "runs" / "toy" / "b",))]]


# ------------------------------------------------------------------ names


def test_a_name_of_another_number_of_folds_is_refused(tmp_path: Path) -> None:
    begin(Simple(), tmp_path, of(2))
    begin(Simple(), tmp_path, ALONE, "b")
    for name, config, expected, got in (
        ("a", of(3), "FOLDS=3", "2 folds"), ("a", ALONE, "FOLDS=0", "2 folds"),
        ("b", of(2), "FOLDS=2", "a run without folds"),
    ):  # fmt: skip
        kind, before = Simple(), states(tmp_path)
        with pytest.raises(Changed) as said:
            begin(kind, tmp_path, config, name)
        assert str(said.value) == (
            f"{name}: the name is taken; expected {expected}; got {got}. Name a new run with RUN="
        )
        assert (kind.trained, states(tmp_path)) == ([], before)


def test_a_name_of_which_only_a_variant_was_begun_is_taken_too(tmp_path: Path) -> None:
    for config, name, got in ((of(2), "a", "2 folds"), (ALONE, "b", "a run without folds")):
        with pytest.raises(Interrupted):
            begin(
                Toy(stop=f"{name}-raw{'-1of2' if config['fold'] else ''}"), tmp_path, config, name
            )
        kind = Toy()
        with pytest.raises(Changed, match=f"{name}-raw: the name is taken; .*; got {got}"):
            begin(kind, tmp_path, of(3), name)
        assert kind.trained == []
        begin(kind, tmp_path, config, name)
        assert len(kind.trained) == (4 if config["fold"] else 2)


def test_a_name_of_another_configuration_is_refused_before_anything_is_trained(
    tmp_path: Path,
) -> None:
    for config in (of(2), ALONE):
        name = "folds" if config["fold"] else "alone"
        begin(Toy(), tmp_path, config, name)
        kind = Toy()
        with pytest.raises(Changed, match="began otherwise; expected config.width = 3; got 4"):
            begin(kind, tmp_path, {**config, "width": 4}, name)
        assert kind.trained == kind.measured == []


def test_names_that_only_begin_alike_are_free(tmp_path: Path) -> None:
    for name in ("a", "a-b", "a-raw", "b-1of2"):
        kind = Simple()
        begin(kind, tmp_path, of(2), name)
        assert kind.trained == [f"{name}-1of2", f"{name}-2of2"]
    kind = Simple()
    begin(kind, tmp_path, ALONE, "a-1")
    assert kind.trained == ["a-1"]
    begin(kind, tmp_path, ALONE, "c-1of2")  # a person may call a run so: it is no fold
    begin(kind, tmp_path, of(3), "c")
    assert kind.trained[2:] == ["c-1of3", "c-2of3", "c-3of3"]


def test_the_same_name_of_another_model_is_free(tmp_path: Path) -> None:
    with opened(tmp_path, "other", of(2), {}, name="a-1of2", threads=1):
        pass
    kind = Simple()
    begin(kind, tmp_path, of(3))
    assert len(kind.trained) == 3


# ------------------------------------------------------------------ processes


@pytest.fixture
def together(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From then on this is the first of two machines."""

    def now() -> None:
        for variable, value in KERAS.places(0, [1, 2]).items():
            monkeypatch.setenv(variable, value)

    return now


@pytest.mark.parametrize(
    ("config", "asked"), [(of(2), "no FOLDS and ABLATION=no"), (ALONE, "ABLATION=no")]
)
def test_several_runs_on_several_machines_are_refused_before_the_first(
    tmp_path: Path, together: Callable[[], None], config: Config, asked: str
) -> None:
    """Before a training begins its command asks; what goes on asks itself."""
    with pytest.raises(Interrupted):
        begin(Toy(stop=f"old{'-1of2' if config['fold'] else ''}"), tmp_path, config, "old")
    before, kind = states(tmp_path), Toy()
    together()
    for work in (
        lambda: course.on_one_machine(2, bool(config["fold"]), variants=True),
        lambda: resume(kind, tmp_path, min(before)),
    ):
        with pytest.raises(Changed, match=f"TF_CONFIG: several machines.* run, with {asked}, or"):
            work()
    assert kind.trained == kind.measured == []
    assert states(tmp_path) == before


def test_several_machines_train_one_run(tmp_path: Path, together: Callable[[], None]) -> None:
    together()
    kind = Simple()
    begin(kind, tmp_path, ALONE)
    assert kind.trained == ["a"]


def test_only_the_first_process_tells_of_a_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kind = Simple(processes=2)
    begin(kind, tmp_path, ALONE)
    assert kind.measured == []
    assert capsys.readouterr() == ("", "")
