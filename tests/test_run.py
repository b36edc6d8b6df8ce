"""Run folders: continued only with what they began with, locked, never half-written."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from training import durable, run, runs
from training.data.index import DataError
from training.errors import Changed, Damaged, Diverged, Interrupted, RunError

CONFIG = {"batch": 4, "betas": (0.9, 0.99), "net": {"width": 8, "arch": "unet"}, "log_steps": 50}
DATA = {"denoise-speech": "k1"}


def begin(root: Path, config: Mapping[str, Any] = CONFIG, **more: Any) -> Path:
    with run.opened(root, "toy", config, **{"data": DATA, "name": "a", **more}) as opened:
        return opened.folder


def test_a_run_goes_on_with_what_it_began_with(tmp_path: Path) -> None:
    folder = begin(tmp_path, threads=3)
    assert folder == tmp_path / "runs" / "toy" / "a"
    facts = run.read_config(folder)
    assert facts["config"]["net"] == {"width": 8, "arch": "unet"}
    assert (facts["data"], facts["setup"]) == (DATA, {"threads": 3, "ranks": 1})
    assert facts["versions"]["numpy"]
    before = (folder / "config.json").read_bytes()
    with run.opened(tmp_path, "toy", CONFIG, DATA, name="a") as opened:
        assert opened.threads == 3  # not this machine's
    assert (folder / "config.json").read_bytes() == before


def test_every_changed_key_is_named(tmp_path: Path) -> None:
    begin(tmp_path, threads=1)
    cases: list[tuple[dict[str, Any], str]] = [
        ({"config": {**CONFIG, "batch": 8}}, "expected config.batch = 4; got 8"),
        (
            {"config": {**CONFIG, "net": {"width": 9, "arch": "unet"}}},
            "config.net.width = 8; got 9",
        ),
        ({"config": {**CONFIG, "betas": (0.9, 0.98)}}, "config.betas = [0.9, 0.99]"),
        ({"config": {**CONFIG, "new": 1}}, "config.new = 'nothing'; got 1"),
        ({"config": {k: v for k, v in CONFIG.items() if k != "batch"}}, "got 'nothing'"),
        ({"config": {**CONFIG, "batch": 4.0}}, "config.batch = 4; got 4.0"),
        ({"config": {**CONFIG, "batch": True}}, "config.batch = 4; got True"),
        ({"data": {"denoise-speech": "k2"}}, "data.denoise-speech = 'k1'; got 'k2'"),
        ({"data": {**DATA, "denoise-music": "k"}}, "data.denoise-music"),
        ({"threads": 2}, "setup.threads = 1; got 2"),
        ({"ranks": 2}, "setup.ranks = 1; got 2"),
    ]
    for change, said in cases:
        with pytest.raises(Changed) as err:
            begin(tmp_path, **change)
        assert said in str(err.value)
        assert err.value.exit_code == 2
    begin(tmp_path, {**CONFIG, "log_steps": 1})  # changes no weight


def test_one_equals_true_nowhere(tmp_path: Path) -> None:
    begin(tmp_path, {"flag": 1, "zero": 0.0})
    with pytest.raises(Changed, match="config.flag"):
        begin(tmp_path, {"flag": True, "zero": 0.0})


def test_a_run_without_a_name_is_called_after_what_determines_it(tmp_path: Path) -> None:
    first = begin(tmp_path, name="")
    assert begin(tmp_path, {**CONFIG, "log_steps": 9}, name="") == first
    assert begin(tmp_path, {**CONFIG, "batch": 5}, name="") != first
    assert begin(tmp_path, name="", data={"denoise-speech": "k2"}) != first
    assert begin(tmp_path, name="", ranks=2) != first


@pytest.mark.parametrize("name", ["../a", "a/b", ".a", "a b", "", "a\n", "x" * 101])
def test_odd_names_are_refused(tmp_path: Path, name: str) -> None:
    model, name = ("toy", name) if name else ("..", "a")
    with pytest.raises(Changed, match="not a name"), run.opened(tmp_path, model, {}, {}, name=name):
        pass
    assert not (tmp_path / "runs").exists()


def test_another_process_cannot_work_on_it(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from training import run\n"
        f"sys.exit(run.main(lambda: run.opened(Path({str(tmp_path)!r}), 'toy', {{}}, {{}}, "
        "name='a').__enter__()))"
    )
    with run.opened(tmp_path, "toy", {}, {}, name="a"):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.returncode == 1
        said = (
            f"{tmp_path}/runs/toy/a: another process works on this run; got process {os.getpid()} "
        )
        assert re.match(said + r"since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d\. Wait for", done.stderr)
        with pytest.raises(RunError, match="another process works on this run"):
            run.can_begin(tmp_path, "toy", {}, ["a"])
        with pytest.raises(RunError, match="no run to go on with"):
            runs.last_interrupted(tmp_path)  # it is not interrupted: it runs
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_what_would_be_refused_is_known_before_it_is_opened(tmp_path: Path) -> None:
    begin(tmp_path)
    run.can_begin(tmp_path, "toy", {"batch": 4, "betas": (0.9, 0.99)}, ["a", "a-raw"])
    run.can_begin(tmp_path, "toy", {"batch": 5}, ["b", "b-raw"])
    run.can_begin(tmp_path, "toy", {"batch": 5}, ["", "-raw"])
    for names in (["a"], ["c", "a"]):
        with pytest.raises(Changed, match=r"a: the run began otherwise; .* = 4; got 5"):
            run.can_begin(tmp_path, "toy", {"batch": 5}, names)
    with pytest.raises(Changed, match=r"not a name for a run; got '\.\./x'"):
        run.can_begin(tmp_path, "toy", {}, ["../x", "../x-raw"])
    assert [path.name for path in (tmp_path / "runs" / "toy").iterdir()] == ["a"]


def test_the_parts_of_a_run_are_found_by_its_name(tmp_path: Path) -> None:
    variants: dict[str, Any] = {"c-raw": {"variant": "raw"}, "c-features": {"variant": "features"}}
    folds: dict[str, Any] = {
        "d-raw-1of2": {"variant": "raw", "fold": [1, 2]}, "d-1of2": {"variant": "", "fold": [1, 2]},
    }  # fmt: skip
    others: dict[str, Any] = {"c-other": {}, "c-raw-more": {"variant": "raw"}, "cc-raw": {}}
    for name, config in (variants | folds | others).items():
        begin(tmp_path, config, name=name)
    for name in ("c", "toy/c"):
        found = runs.family_of(tmp_path, name)
        assert [folder.name for folder in found] == ["c-features", "c-raw"], name
    assert [folder.name for folder in runs.family_of(tmp_path, "d")] == ["d-1of2", "d-raw-1of2"]
    for name in ("c-raw", "e", "other/c", "c*", "[c]"):
        assert not runs.family_of(tmp_path, name), name
    for name, known, one in (
        ("d", "toy/d-1of2, toy/d-raw-1of2", "d-1of2"),
        ("toy/c", "toy/c-features, toy/c-raw", "c-raw"),
    ):  # fmt: skip
        with pytest.raises(RunError) as said:
            runs.named(tmp_path, name)
        assert str(said.value) == (
            f"{tmp_path}/runs: a name of folds or variants, not of one run; "
            f"expected one of {known}; got {name}. Name one of them, such as RUN={one}"
        )
    with pytest.raises(RunError, match="no such run; expected one of toy/c-features, "):
        runs.named(tmp_path, "e")
    assert (runs.fold_ends(2), runs.fold_ends(0)) == (["-1of2", "-2of2"], [""])


def test_the_last_interrupted_run(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no run to go on with"):
        runs.last_interrupted(tmp_path)
    a, b, c = (begin(tmp_path, name=name) for name in "abc")
    assert runs.last_interrupted(tmp_path) == c
    begin(tmp_path, name="a")
    assert runs.last_interrupted(tmp_path) == a
    with run.opened(tmp_path, "toy", CONFIG, DATA, name="a") as opened:
        opened.mark("finished")
        assert opened.finished
    begin(tmp_path, name="a")  # looking at it does not make it unfinished
    assert runs.last_interrupted(tmp_path) == a  # stopped while it was measured
    (a / runs.CARD).write_text("measured")
    assert runs.last_interrupted(tmp_path) == c
    (c / "state.json").unlink()  # killed before it was written
    assert runs.last_interrupted(tmp_path) == b
    with pytest.raises(RunError, match="no run"):
        runs.last_interrupted(tmp_path, "other")


def test_metrics_are_cut_to_what_the_checkpoint_knows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with run.opened(tmp_path, "toy", {}, {}, name="a") as opened:
        for step in range(1, 5):
            opened.log(kind="train", step=step, seconds=step / 2, loss=float("nan"))
        path = opened.folder / "metrics.jsonl"
        assert json.loads(path.read_text().splitlines()[0])["loss"] is None
        with path.open("ab") as file:
            file.write(b'{"step":5,"loss":0.')  # cut by a kill
        assert opened.rewind(3) == 2.0  # the time of the fourth is used up all the same
        assert [row["step"] for row in opened.metrics()] == [1, 2, 3]
        assert path.read_bytes().count(b"\n") == 3
        before = os.stat(path)
        assert opened.rewind(3) == 1.5
        assert os.stat(path).st_ino == before.st_ino  # nothing to do, nothing written
        assert not capsys.readouterr().err
        opened.rewind(7)
        assert "3 whole lines instead of 7" in capsys.readouterr().err


def test_a_damaged_file_is_never_taken_for_good(tmp_path: Path) -> None:
    folder = begin(tmp_path)
    path = folder / "config.json"
    good = path.read_bytes()
    for bad in (good.replace(b'"batch": 4', b'"batch": 5'), good[:-9], b"", b"[]", b"{}", b"\xff"):
        path.write_bytes(bad)
        with pytest.raises(Damaged):
            begin(tmp_path)
    path.write_bytes(good)
    begin(tmp_path)


def test_a_damaged_state_is_that_of_a_run_that_was_killed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = begin(tmp_path)
    path = folder / "state.json"
    for bad in (path.read_bytes()[:-4], b"", b"{}"):
        path.write_bytes(bad)
        assert run.read_state(folder) == {"state": "unfinished", "opened": 0.0}
        assert f"{path}: damaged, and passed over" in capsys.readouterr().err
    begin(tmp_path)
    assert run.read_state(folder)["opened"] > 0


def test_half_written_files_are_swept(tmp_path: Path) -> None:
    folder = begin(tmp_path)
    (folder / ".tmp-1-config.json").write_bytes(b"half")
    begin(tmp_path)
    assert not list(folder.glob(".tmp-*"))


def test_other_versions_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = begin(tmp_path) / "config.json"
    facts = durable.read_json(path)
    facts["versions"]["numpy"] = "1.0"
    durable.write_json(path, facts)
    begin(tmp_path)
    assert "began with numpy 1.0, goes on with" in capsys.readouterr().err


@pytest.mark.parametrize("point", ["open", "write", "fsync", "rename", "syncdir"])
def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a"
    durable.write(path, [b"old"])
    monkeypatch.setattr(durable, "_fault_counts", {})
    monkeypatch.setenv("MELMILL_FAULT", f"{point}:1:ENOSPC")
    with pytest.raises(RunError, match=r"cannot write: No space left.*[Ff]ree some space"):
        durable.write(path, [b"new ", b"bytes"])
    assert path.read_bytes() == (b"new bytes" if point == "syncdir" else b"old")
    assert [entry.name for entry in tmp_path.iterdir()] == ["a"]


def test_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    def stop(err: BaseException) -> int:
        def work() -> None:
            raise err

        return run.main(work)

    assert run.main(lambda: None) == 0
    assert stop(RunError("x")) == stop(DataError("x", "y")) == 1
    assert (stop(Changed("x")), stop(Diverged("x"))) == (2, 4)
    assert (stop(Interrupted(2)), stop(Interrupted(15)), stop(KeyboardInterrupt())) == (
        130,
        143,
        130,
    )
    assert len(capsys.readouterr().err.splitlines()) == 7
    with pytest.raises(ValueError, match="a bug"):
        stop(ValueError("a bug"))


def test_a_folder_whose_name_is_no_text(capsys: pytest.CaptureFixture[str]) -> None:
    assert run.main(lambda: print(Path("caf\udce9"))) == 0  # a byte that is not UTF-8
    assert capsys.readouterr().out == "caf\\udce9\n"


def test_an_interrupted_run_says_how_to_go_on() -> None:
    plain = Interrupted(2, Path("artifacts/runs/toy/a"))
    assert str(plain).endswith("everything is saved. Go on with make resume")
    assert plain.exit_code == 130
    elsewhere = str(Interrupted(15, Path("/data/made/runs/toy/a")))
    assert elsewhere.endswith("Go on with make resume ARTIFACTS=/data/made")


def test_long_values_are_told_by_their_begin(tmp_path: Path) -> None:
    begin(tmp_path, {"mean": list(range(1000))})
    with pytest.raises(Changed) as refused:
        begin(tmp_path, {"mean": list(range(1, 1001))})
    assert "config.mean = [0, 1, 2" in str(refused.value)
    assert len(str(refused.value)) < 400


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no disk that is always full")
def test_results_that_go_to_a_full_disk_are_one_line() -> None:
    code = (
        "import sys; from training.run import main; sys.exit(main(lambda: print('x', flush=True)))"
    )
    with open("/dev/full", "w") as out:
        done = subprocess.run(
            [sys.executable, "-c", code], stdout=out, stderr=subprocess.PIPE, text=True, check=False
        )
    said = "[Errno 28] No space left on device. Free some space, then give the command again\n"
    assert done.stderr.startswith(said)
    assert "Traceback" not in done.stderr
    assert done.returncode == 1


@pytest.mark.parametrize(
    ("said", "torchrun", "threads"),
    [(None, False, 6), ("4", False, 4), ("64", False, 6), ("0", False, 6), ("x", False, 6),
     ("1", True, 6)],
)  # fmt: skip
def test_threads_are_those_that_may_be_used(
    monkeypatch: pytest.MonkeyPatch, said: str | None, torchrun: bool, threads: int
) -> None:
    """torchrun says 1 where nobody said a number."""
    monkeypatch.setattr("joblib.cpu_count", lambda: 6)  # affinity and quota
    for name, value in (("OMP_NUM_THREADS", said), ("TORCHELASTIC_RUN_ID", torchrun and "none")):
        if value:
            monkeypatch.setenv(name, value)
        else:
            monkeypatch.delenv(name, raising=False)
    assert run.cores() == threads
