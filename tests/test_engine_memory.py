"""What a run is expected to take of memory, and takes: against real steps, NumPy and the system.

Reads: what the system says of this process. Writes: files that look like control groups, and what
processes of their own took, into pytest's folders.
"""

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

import keras  # noqa: E402
from keras import layers  # noqa: E402

from tests import corpus, trainings  # noqa: E402
from tests.trainings import KERAS  # noqa: E402
from training.engine import memory  # noqa: E402
from training.engine.keras_learner import Steps  # noqa: E402
from training.engine.keras_ranks import threads_fixed  # noqa: E402
from training.engine.memory import Plan, allowed, kept, now, peak, planned, shown  # noqa: E402
from training.engine.settings import Settings  # noqa: E402
from training.errors import Changed  # noqa: E402

MB, GB = 1 << 20, 1 << 30
PLENTY = 1 << 50
BATCH, SIDE = 64, 64


def net(side: int = SIDE) -> keras.Model:
    """Convolution, batch normalisation, activation, thrice."""
    x = given = keras.Input((side, side, 1))
    for _ in range(3):
        x = layers.Conv2D(16, 3, padding="same", use_bias=False)(x)
        x = layers.Activation("relu")(layers.BatchNormalization()(x))
    return keras.Model(given, layers.Dense(1)(layers.GlobalAveragePooling2D()(x)))


# ------------------------------------------------------------------ what is expected


@pytest.fixture
def empty(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if this process took nothing yet."""
    monkeypatch.setattr(memory, "now", lambda: 0)


def test_outputs_of_all_layers_are_counted_once_an_example() -> None:
    x = given = keras.Input((10, 4))
    x = layers.Activation("relu")(layers.Conv1D(3, 5)(x))  # 6 frames
    other = layers.Flatten()(given)
    made = layers.Concatenate()([layers.Flatten()(x), other])
    told = keras.Model(given, layers.Dense(2)(made))
    assert kept(told) == 4 * (10 * 4 + 6 * 3 + 6 * 3 + 18 + 40 + 58 + 2)


def test_half_the_batch_at_once_takes_half_of_what_is_kept(empty: None) -> None:
    one, other = net(), net(2 * SIDE)
    grows = [planned(one, size, 0, PLENTY).expected for size in (8, 16, 24)]
    assert grows[2] - grows[1] == pytest.approx(grows[1] - grows[0], abs=2)
    assert grows[1] - grows[0] >= 8 * kept(one)
    wide = [planned(other, size, 0, PLENTY).expected for size in (8, 16)]
    assert (wide[1] - wide[0]) / (grows[1] - grows[0]) == pytest.approx(4, rel=0.01)


def test_data_and_what_is_taken_already_are_added(monkeypatch: pytest.MonkeyPatch) -> None:
    told = net(8)
    monkeypatch.setattr(memory, "now", lambda: 3 * GB)
    before = planned(told, 8, 0, PLENTY).expected
    assert planned(told, 8, 12345, PLENTY).expected == before + 12345
    monkeypatch.setattr(memory, "now", lambda: 5 * GB)
    assert planned(told, 8, 0, PLENTY).expected == before + 2 * GB


def test_weights_count_with_all_that_is_made_of_them(empty: None) -> None:
    """Weight, gradient, two moments, average: five of each at the very least."""

    def dense(width: int) -> keras.Model:
        return keras.Sequential([keras.Input((1,)), layers.Dense(width), layers.Dense(1)])

    few, many = (planned(dense(width), 1, 0, PLENTY).expected for width in (1000, 1_001_000))
    assert many - few > 5 * 4 * 3_000_000


@pytest.mark.parametrize("batch", [1, 7, 12, 64])
def test_as_few_parts_as_the_ceiling_allows(empty: None, batch: int) -> None:
    told = net()
    found, ceiling = [], PLENTY
    while True:
        try:
            plan = planned(told, batch, 0, ceiling)
        except Changed:
            break
        assert plan.expected <= plan.ceiling == ceiling
        assert planned(told, batch, 0, plan.expected).parts == plan.parts  # just fits
        found.append(plan.parts)
        ceiling = plan.expected - 1
    assert found == [n for n in range(1, batch + 1) if batch % n == 0]


def test_no_more_parts_than_64(empty: None) -> None:
    told = net()
    least = planned(told, 2, 0, PLENTY).expected
    assert planned(told, 128, 0, least).parts == 64
    with pytest.raises(Changed, match="MAX_RAM: does not fit"):
        planned(told, 256, 0, least)


def test_what_does_not_fit_is_one_line(empty: None) -> None:
    with pytest.raises(Changed) as said:
        planned(net(), 4, 7 * GB, 7 * GB)
    assert re.fullmatch(
        r"MAX_RAM: does not fit; expected 7\.\d\d GB; got 7\.00 GB\. Allow more, or choose a "
        r"smaller net or batch",
        str(said.value),
    )
    assert said.value.exit_code == 2


def test_the_line_tells_of_parts_where_there_are_some() -> None:
    plan = Plan(15 * GB, int(2.25 * GB), 1)
    assert plan.line(64) == "memory: 2.25 GB expected, ceiling 15.00 GB (batch 64)"
    four = replace(plan, parts=4).line(64)
    assert four == "memory: 2.25 GB expected, ceiling 15.00 GB (batches of 64 in 4 parts)"


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 bytes"), (2**30, "1.00 GB"), (1.5 * 2**30, "1.50 GB"), (15 * 2**30, "15.00 GB"),
     (10**9, "0.93 GB"), (5 * 2**20, "5 MB")],
)  # fmt: skip
def test_sizes_in_words(size: float, text: str) -> None:
    assert shown(size) == text


# ------------------------------------------------------------------ what is taken


def mean_square(model: keras.Model, batch: dict[str, Any], seed: Any) -> tuple[Any, dict[str, Any]]:
    return tf.reduce_mean((model(batch["x"], training=True) - batch["y"]) ** 2, axis=1), {}


def measured(root: str) -> int:
    """What real steps take, in this process, whose peak only rises: small batches first."""
    threads_fixed(1)
    made = net()
    plan = planned(made, BATCH, 0, PLENTY)
    told = {"kept": kept(made), "expected": plan.expected, "before": now()}
    for name, parts, size in (("few", 1, 8), ("parts", 8, BATCH), ("whole", 1, BATCH)):
        steps = Steps(made, mean_square, Settings(), size, parts)
        steps.compile(optimizer=keras.optimizers.SGD(0.1), jit_compile=False)
        step = steps.make_train_function()
        x = tf.zeros((size, SIDE, SIDE, 1))
        for _ in range(2):
            step(iter([{"x": x, "y": tf.zeros((size, 1))}]))
        told[name] = peak()
    Path(root).write_text(json.dumps(told))
    return 0


@pytest.fixture(scope="module")
def took(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    path = tmp_path_factory.mktemp("memory") / "told"
    assert trainings.alone(measured, path, kind=KERAS) == 0, Path(f"{path}.log").read_text()
    found: dict[str, int] = json.loads(path.read_text())
    return found


def test_a_real_step_keeps_what_is_counted(took: dict[str, int]) -> None:
    """What each further example takes: within half of it, either way."""
    each = (took["whole"] - took["few"]) / (BATCH - 8)
    assert each / 1.5 < took["kept"] < each * 1.5


def test_a_run_takes_no_more_than_is_expected(took: dict[str, int]) -> None:
    assert took["before"] + BATCH * took["kept"] / 2 < took["whole"] < took["expected"]


def test_a_batch_in_eight_parts_takes_half_of_it_at_most(took: dict[str, int]) -> None:
    """An eighth of what is kept, and another graph."""
    whole = (BATCH - 8) * took["kept"]
    assert took["parts"] - took["few"] < whole / 2


OWN = """
import json, sys
from unittest import mock
sys.modules.update(keras=mock.MagicMock(), tensorflow=mock.MagicMock())
import numpy as np
from training.engine.memory import now, peak
told = [now(), peak()]
big = np.ones(200 << 17)  # 200 MB
told += [now(), peak()]
del big
told += [now(), peak()]
print(json.dumps(told))
"""


def test_the_peak_counts_what_is_freed_again_and_nothing_of_who_started_it() -> None:
    mine = np.ones(400 << 17)  # 400 MB, as a notebook may hold that starts a run
    done = subprocess.run([sys.executable, "-c", OWN], capture_output=True, text=True,
                          cwd=corpus.REPO)  # fmt: skip
    assert done.returncode == 0, done.stderr
    before, first, full, most, after, last = json.loads(done.stdout)
    assert before - MB < first < 300 * MB < mine.nbytes
    assert 195 * MB < full - before < 215 * MB
    assert most > full - MB
    assert after < full - 190 * MB
    assert abs(last - most) < 10 * MB


def test_now_is_what_the_kernel_says() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    assert now() == pytest.approx(pages * 4096, rel=0.05)
    assert peak() > now() - MB  # the kernel sums up what threads took now and then


def test_a_gpu_that_is_not_there_has_taken_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [])
    assert memory.gpu_peak() == 0
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [kind])
    told = {"GPU:0": {"current": 3, "peak": 9}}
    monkeypatch.setattr(tf.config.experimental, "get_memory_info", told.__getitem__)
    assert memory.gpu_peak() == 9


# ------------------------------------------------------------------ what is allowed


class Machine:
    """How much is free, what this process takes, and in which control groups it is."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.free, self.taken, self.files = 60 * GB, 2 * GB, 1 * GB  # of taken: mapped files
        self.root, self.own = root / "groups", root / "own"
        info = lambda: SimpleNamespace(rss=self.taken, shared=self.files)  # noqa: E731
        fake = SimpleNamespace(
            virtual_memory=lambda: SimpleNamespace(available=self.free),
            Process=lambda: SimpleNamespace(memory_info=info),
        )
        monkeypatch.setattr(memory, "psutil", fake)
        monkeypatch.setattr(memory, "GROUPS", self.root)
        monkeypatch.setattr(memory, "OWN", self.own)

    def group(self, name: str, limit: int | str, held: int = 0) -> None:
        """As Linux tells of one, version 2, that holds so many bytes besides files."""
        folder = self.root / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "memory.max").write_text(f"{limit}\n")
        (folder / "memory.stat").write_text(f"anon {held}\nfile {50 * GB}\nanon_thp 77\n")

    def group1(self, name: str, limit: int, held: int = 0) -> None:
        """Version 1."""
        folder = self.root / "memory" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "memory.limit_in_bytes").write_text(f"{limit}\n")
        (folder / "memory.stat").write_text(
            f"cache {50 * GB}\nrss 5\nhierarchical_memory_limit 9\ntotal_rss {held}\n"
        )


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path, monkeypatch)


def test_as_asked_and_15_gb_where_nobody_asks(machine: Machine) -> None:
    assert allowed(0) == 15 * GB
    assert allowed(4 * GB) == 4 * GB
    assert allowed(40 * GB) == 40 * GB
    assert allowed(1) == 1


def test_no_more_than_is_free_beside_what_others_use(machine: Machine) -> None:
    machine.free = 5 * GB
    for asked in (0, 8 * GB, 40 * GB):
        assert allowed(asked) == 7 * GB  # with what this process has taken itself
    assert allowed(6 * GB) == 6 * GB


def test_no_more_than_a_container_may_have(machine: Machine) -> None:
    machine.own.write_text("0::/\n")
    machine.group("", 8 * GB, held=1 * GB)  # all of it by this process: files give way
    for asked in (0, 40 * GB):
        assert allowed(asked) == 8 * GB
    assert allowed(3 * GB) == 3 * GB
    machine.group("", 8 * GB, held=4 * GB)  # of which another process holds three
    assert allowed(0) == 5 * GB
    machine.group("", "max", held=4 * GB)
    assert allowed(0) == 15 * GB


def test_the_strictest_of_all_groups_around_it(machine: Machine) -> None:
    machine.own.write_text("0::/user/service\n")
    machine.group("", "max")
    machine.group("user/service", 12 * GB)
    machine.group("user/other", 1 * GB)
    assert allowed(0) == 12 * GB
    machine.group("user", 9 * GB)
    assert allowed(0) == 9 * GB
    machine.own.write_text("0::/../elsewhere\n")  # which cannot be seen from in here
    machine.group("", 11 * GB)
    assert allowed(0) == 11 * GB


def test_the_older_groups(machine: Machine) -> None:
    machine.own.write_text("5:devices:/docker/1\n4:memory:/docker/1\n2:cpu,cpuacct:/\n0::/\n")
    machine.group1("", 2**63 - 4096)  # which is how they say none
    assert allowed(0) == 15 * GB
    machine.group1("", 7 * GB, held=3 * GB)  # a container sees its own as the first
    assert allowed(0) == 5 * GB
    machine.group1("docker/1", 4 * GB, held=1 * GB)
    assert allowed(0) == 4 * GB


def test_where_there_are_no_groups(machine: Machine) -> None:
    assert not machine.own.exists()
    assert memory.grouped() >= PLENTY
    machine.own.write_text("")
    assert memory.grouped() >= PLENTY


def test_this_very_process_may_have_something() -> None:
    """Whatever system this is: more than it takes, and no more than the machine has."""
    whole = int(re.findall(r"MemTotal: +(\d+) kB", Path("/proc/meminfo").read_text())[0]) << 10
    assert 0 < allowed(PLENTY) <= whole + now()
