"""Several devices, and several processes, learn what one does.

Each process is forked from a server that has imported TensorFlow and run nothing: devices must be
set up before it computes. Reads and writes only in pytest's own folders.
"""

import shutil
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("tensorflow")

from tests import toy_keras, trainings
from tests.trainings import KERAS, KILLED
from training.engine import keras_ranks
from training.engine.checkpoint import Checkpoints, step_of
from training.errors import Changed
from training.run import main

STEPS = 36
SHORT: dict[str, Any] = {"epochs": 3, "save_steps": 5}


def run(root: Path, **options: Any) -> int | None:
    return trainings.alone(toy_keras.toy, root, kind=KERAS, **{**SHORT, **options})


def two(root: Path, *faults: str, **options: Any) -> list[int | None]:
    return trainings.together(toy_keras.toy, root, *faults, kind=KERAS, **{**SHORT, **options})


def threads(root: str) -> int:
    """How many threads an operation has, and how many operations run at once, as an exit code."""
    keras_ranks.joined(2)
    told = keras_ranks.tf.config.threading
    asked = (told.get_intra_op_parallelism_threads(), told.get_inter_op_parallelism_threads())
    return 10 * asked[0] + asked[1]


def test_operations_share_no_threads(tmp_path: Path) -> None:
    """Two at once split their work as it happens, and sum it in another order each time."""
    assert trainings.alone(threads, tmp_path / "a", kind=KERAS) == 21


def told(root: Path) -> tuple[str, list[Any]]:
    return trainings.told(root / "runs/toy/a")


def killed(codes: list[int | None]) -> None:
    """Both, or one while the other still waited for it."""
    assert KILLED in codes
    assert set(codes) <= {KILLED, 1}


def log(root: Path) -> str:
    return Path(f"{root}.log").read_text()


def curve(root: Path) -> list[float]:
    """The loss of every step, and what each epoch's validation found."""
    rows = told(root)[1]
    assert [row["step"] for row in rows if row["kind"] == "train"] == list(range(1, STEPS + 1))
    return [row.get("loss") or row["error"] for row in rows]


def near(found: list[float]) -> Any:
    return pytest.approx(found, rel=0.01)


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> list[float]:
    """What one device learns, without the draws that each device has for itself."""
    root = tmp_path_factory.mktemp("one") / "a"
    assert run(root, plain=True, log_steps=1) == 0
    return curve(root)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What two processes learn without interruption; the second one would die of writing."""
    root = tmp_path_factory.mktemp("pair") / "a"
    assert two(root, "", "open:1") == [0, 0]
    return told(root)


def test_two_devices_learn_what_one_does(tmp_path: Path, one: list[float]) -> None:
    """And go on with what one of them has begun, and the reverse."""
    root = tmp_path / "a"
    assert run(root, plain=True, log_steps=1, devices=2, fault="step:18") == KILLED
    held = shutil.copytree(root, tmp_path / "b")
    assert run(root, plain=True, log_steps=1, devices=2) == 0
    assert curve(root) == near(one)
    assert run(held, plain=True, log_steps=1, fault="step:12") == KILLED
    assert run(held, plain=True, log_steps=1, devices=2) == 0
    assert curve(held) == near(one)


def test_two_devices_killed_and_taken_up_again(tmp_path: Path) -> None:
    sure, root = tmp_path / "a", tmp_path / "b"
    assert run(sure, devices=2) == 0
    assert run(root, devices=2, fault="step:19") == KILLED
    assert run(root, devices=2) == 0
    assert told(root) == told(sure)


def test_two_processes_learn_what_one_does(tmp_path: Path, one: list[float]) -> None:
    root = tmp_path / "a"
    assert two(root, plain=True, log_steps=1) == [0, 0]
    assert curve(root) == near(one)
    said = [line for line in log(root).splitlines() if line.startswith("weights ")]
    assert len(said) == 2
    assert len(set(said)) == 1


def test_two_processes_killed_and_taken_up_again(tmp_path: Path, pair: Any) -> None:
    """Only the first writes: the other would die of it."""
    root = tmp_path / "a"
    killed(two(root, "step:19", "step:19"))
    assert two(root, "", "append:1") == [0, 0]
    assert told(root) == pair


def ended(root: Path, *faults: str) -> None:
    """One of two is killed; the other says so in one line, and does not wait for ever."""
    codes = two(root, *faults)
    assert codes == [KILLED if fault else 1 for fault in faults]
    said = log(root)
    assert said.count("another process of the run has ended") == 1
    assert "Traceback" not in said


def test_one_of_two_is_killed(tmp_path: Path, pair: Any) -> None:
    ended(tmp_path / "a", "", "step:20")
    assert two(tmp_path / "a") == [0, 0]
    assert told(tmp_path / "a") == pair


@pytest.mark.slow
def test_the_first_of_two_is_killed(tmp_path: Path, pair: Any) -> None:
    """It is the one that the other is connected through."""
    ended(tmp_path / "a", "step:9", "")
    assert two(tmp_path / "a") == [0, 0]
    assert told(tmp_path / "a") == pair


@pytest.mark.slow
def test_two_processes_stop_together_when_one_is_asked_to(tmp_path: Path, pair: Any) -> None:
    assert two(tmp_path / "a", stop_at=8) == [143, 143]
    assert Checkpoints(tmp_path / "a/runs/toy/a").all()[-1].name == "step-000000008.ckpt"
    assert two(tmp_path / "a") == [0, 0]
    assert told(tmp_path / "a") == pair


@pytest.mark.slow
def test_two_processes_stop_together_at_a_bad_example(tmp_path: Path) -> None:
    assert two(tmp_path / "a", bad=5) == [4, 4]
    assert "recording-5" in log(tmp_path / "a")
    order = toy_keras.Numbers().order(0).tolist()
    bad = order.index(5) // toy_keras.BATCH + 1
    assert f"(step {bad} of the run)" in log(tmp_path / "a")
    held = Checkpoints(tmp_path / "a/runs/toy/a").all()
    assert [step_of(path) for path in held] == [s for s in (5, 10) if s < bad]


@pytest.mark.slow
def test_one_process_cannot_go_on_with_the_run_of_two(tmp_path: Path) -> None:
    killed(two(tmp_path / "a", "step:7", "step:7"))
    assert run(tmp_path / "a") == 2
    assert "expected setup.ranks = 2; got 1" in log(tmp_path / "a")


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("first", range(1, STEPS, 12))
def test_two_processes_killed_at_every_step(tmp_path: Path, pair: Any, first: int) -> None:
    for step in range(first, first + 12):
        root = tmp_path / f"{step}"
        killed(two(root, f"step:{step}", f"step:{step}"))
        assert two(root) == [0, 0]
        assert told(root) == pair


def agreeing(root: str, *, fault: str) -> int:
    """A process that agrees with another one on numbers and bytes."""

    def work() -> None:
        ranks = keras_ranks.joined(1)
        assert (ranks.world, ranks.replicas, ranks.parts) == (2, 2, 1)
        assert ranks.total([ranks.rank + 1, 0.1, 2.0**40]) == [3.0, 0.2, 2.0**41]
        for _ in range(5):
            bad, good = ranks.total([float("nan") if ranks.rank else 1.0, 1.0])
            assert (bad != bad, good) == (True, 2.0)
        assert ranks.told([ranks.rank + 5.5]) == [5.5]
        data = bytes(i % 251 for i in range(keras_ranks.CHUNK + 7))
        assert ranks.sent(data if ranks.first else b"of no use") == data
        assert ranks.sent(b"") == b""
        ranks.part()
        # for three numbers, two, one, and for bytes, however often
        assert keras_ranks._sum(ranks.strategy).experimental_get_tracing_count() == 4

    return main(work)


def test_two_processes_agree(tmp_path: Path) -> None:
    assert trainings.together(agreeing, tmp_path / "a", kind=KERAS) == [0, 0], log(tmp_path / "a")


def test_alone_there_is_nobody_to_agree_with() -> None:
    """And nothing is computed for it."""
    ranks = keras_ranks.Ranks(strategy=None)
    assert ranks.total([1, True]) == [1.0, 1.0]
    assert ranks.told([2.5]) == [2.5]
    assert ranks.sent(b"abc") == b"abc"


def test_our_place_among_the_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    for told, want in (("", (0, 1)), ("{}", (0, 1))):
        monkeypatch.setenv("TF_CONFIG", told)
        assert keras_ranks.place() == want
    places = [KERAS.places(rank, [1, 2])["TF_CONFIG"] for rank in range(2)]
    for rank, told in enumerate(places):
        monkeypatch.setenv("TF_CONFIG", told)
        assert keras_ranks.place() == (rank, 2)
    alone = '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 0}}'
    monkeypatch.setenv("TF_CONFIG", alone)
    assert keras_ranks.place() == (0, 1)


@pytest.mark.parametrize(
    "told",
    ["nonsense", "[1]", '{"cluster": 3}', '{"cluster": {"worker": ["a:1", "b:1"]}}',
     '{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": "one"}}',
     '{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 2}}'],
)  # fmt: skip
def test_a_place_that_cannot_be_meant_is_one_line(
    monkeypatch: pytest.MonkeyPatch, told: str
) -> None:
    monkeypatch.setenv("TF_CONFIG", told)
    with pytest.raises(Changed, match="TF_CONFIG: names no place among processes") as said:
        keras_ranks.place()
    assert said.value.exit_code == 2
