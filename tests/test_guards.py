"""Every guard is watched: with it taken out, a test turns red.

Reads this checkout. Does: copies it, takes one guard out of the copy, runs the test that watches it
there. Writes: the copies, in pytest's folders.
"""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import corpus
from tests.sweeps import note


@dataclass(frozen=True)
class Guard:
    """`old` in `file` is replaced by `new`; then `test` must fail."""

    file: str
    old: str
    new: str
    test: str


STORE, KILL = "pipeline/disk/store.py", "test_kill.py"
GUARDS = {
    "a file is synced before it is renamed": Guard(
        STORE, "        os.fsync(descriptor)\n        os.close", "        os.close",
        f"{KILL}::test_order_for_power_loss",
    ),
    "its folder is synced after that": Guard(
        STORE, "        sync_folder(path.parent)\n", "", f"{KILL}::test_order_for_power_loss"
    ),
    "files appear under their names whole": Guard(
        STORE, 'path.parent / f"{TEMP}{os.getpid()}-{uuid.uuid4().hex[:12]}"',
        'path.parent / f"part-{path.name}"', f"{KILL}::test_kill_at_a_named_point",
    ),
    "what a killed run left is swept": Guard(
        "pipeline/stages.py",
        "        clean.sweep_temps(asked.artifacts)\n        look",
        "        look",
        f"{KILL}::test_kill_at_a_named_point",
    ),
    "paths do not leave by links": Guard(
        STORE, "    if not held:", "    if False:", "test_attacks.py"
    ),
    "small files are sealed": Guard(STORE, "    if not whole:", "    if False:", "test_damage.py"),
    "workers die with their parent": Guard(
        "pipeline/jobs.py", "ctypes.CDLL(None).prctl(1, signal.SIGKILL)", "pass",
        "test_stop.py::test_orphans_neither_write_nor_live",
    ),
    "one run at a time": Guard(
        "pipeline/disk/guard.py", "fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)", "pass",
        "test_stop.py::test_double_start",
    ),
    "the disk is large enough": Guard(
        "pipeline/disk/guard.py", "if need + SPARE > free:", "if False:",
        "test_faults.py::test_too_small_a_disk_is_refused_beforehand",
    ),
    "samples are numbers": Guard(
        "pipeline/audio/codecs.py", "                _check_samples(chunk, done)\n",
        "                pass\n", "test_codecs.py",
    ),
    "a recording is whole": Guard(
        "pipeline/audio/codecs.py", "done < declared - slack", "False", "test_codecs.py"
    ),
    "decoded sound is what was written": Guard(
        "pipeline/audio/pcm.py", "!= r.crc[i]", "is None", "test_pcm.py"
    ),
    "a stamp holds ctime": Guard(
        "pipeline/disk/stamps.py", "status.st_ctime_ns, status.st_ino", "0, status.st_ino",
        "test_stale_files.py",
    ),
    "a key holds the code": Guard(
        "pipeline/keys.py", 'made = code.version("shards", frozenset(idle))', 'made = ""',
        "test_stale_code.py",
    ),
    "a run that has nothing to do read its input": Guard(
        "pipeline/unchanged.py", '            "read": self._below(root),\n', "",
        "test_unchanged.py",
    ),
    "no recording is in two splits": Guard(
        "pipeline/corpus.py", "    splits.check_leaks(items, split_of)\n", "", "test_corpus.py"
    ),
    "a label is measured after mixing": Guard(
        "pipeline/dsp/mix.py", "achieved = _ratio_db(level, measured_level(stored, noisy))",
        "achieved = snr_db", "test_mix.py",
    ),
    "silence has no SNR": Guard(
        "pipeline/dsp/mix.py", '    _refuse_silence(clean, "clean")\n', "", "test_mix.py"
    ),
    "a shard holds its own numbers": Guard(
        "pipeline/formats/hdf5.py",
        "made.get_layout() != h5py.h5d.CONTIGUOUS or made.get_external_count()",
        "made.get_layout() != h5py.h5d.CONTIGUOUS",
        "test_attacks.py::test_forged_shards",
    ),
    "a shard's bytes are those of the index": Guard(
        "training/data/shards.py", "if found != shard.sha256:", "if False:",
        "test_training_index.py",
    ),
    "an epoch's order hangs on its number": Guard(
        "training/data/batches.py", "[self.seed, epoch, number + 1]", "[self.seed, 0, number + 1]",
        "test_batches.py",
    ),
    "a run goes on in the middle of an epoch": Guard(
        "training/engine/torch_fit.py", "epoch, first = divmod(self.state.step, self.state.steps)",
        "epoch, first = self.state.step // self.state.steps, 0", "test_resume_torch.py",
    ),
}  # fmt: skip
SAMPLE = "a label is measured after mixing"


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "name", [n if n == SAMPLE else pytest.param(n, marks=pytest.mark.slow) for n in GUARDS]
)
def test_without_it_a_test_turns_red(tmp_path: Path, name: str) -> None:
    guard = GUARDS[name]
    copy = tmp_path / "checkout"
    for part in ("pipeline", "training", "tests"):
        shutil.copytree(corpus.REPO / part, copy / part)
    for part in ("pyproject.toml", "Makefile", "README.md"):
        shutil.copy(corpus.REPO / part, copy / part)
    path = copy / guard.file
    text = path.read_text()
    assert text.count(guard.old) == 1, "the guard is written otherwise now"
    path.write_text(text.replace(guard.old, guard.new))
    asked = [sys.executable, "-m", "pytest", "-x", "-q", "-m", "not slow", f"tests/{guard.test}"]
    done = subprocess.run(
        [*asked, "-p", "no:cacheprovider", f"--basetemp={tmp_path / 'tests'}"],
        cwd=copy, capture_output=True, text=True,
        env={k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "MELMILL"))},
    )  # fmt: skip
    assert done.returncode == 1, "green without it: " + done.stdout[-2000:] + done.stderr[-500:]
    note("guards taken out one at a time: a test turns red", 1, 1)
