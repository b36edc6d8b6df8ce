"""The front door: what `make` runs, with values and file names that would break a careless one.

Reads a copy of the checkout. Does: runs make there with an environment that is already made (this
one), so that nothing is installed. Writes in pytest's folders.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import corpus, here

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not here")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Makefile and the code, with this Python behind a stamp that says it is complete."""
    root = tmp_path_factory.mktemp("make") / "checkout"
    ignored = shutil.ignore_patterns("__pycache__")
    for package in ("pipeline", "training"):
        shutil.copytree(corpus.REPO / package, root / package, ignore=ignored)
    shutil.copytree(corpus.REPO / ".ci", root / ".ci")
    shutil.copy(corpus.REPO / "Makefile", root)
    (root / "venv" / "bin").mkdir(parents=True)
    python = root / "venv" / "bin" / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    (root / "venv" / "core.stamp").touch()
    for stamp in ("dev", "torch", "tensorflow", "musicnn"):
        (root / "venv" / f"{stamp}.stamp").touch()
    corpus.small_corpus(root.parent / "data")
    corpus.recipes(root.parent / "recipes")
    return root


def make(
    checkout: Path, *args: str, env: dict[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    around = {k: v for k, v in corpus.environment(env).items() if not k.startswith("MAKE")}
    around.pop("PYTHONPATH")
    return subprocess.run(
        ["make", "VENV=venv", *args], cwd=checkout, env=around, capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip


def asked(checkout: Path, artifacts: Path, **more: str) -> list[str]:
    base = checkout.parent
    known = {"DATA": base / "data", "RECIPE": corpus.recipes(base / "recipes", corpus.CLASSES),
             "ARTIFACTS": artifacts, "JOBS": "2"} | more  # fmt: skip
    return [f"{name}={value}" for name, value in known.items()]


def test_features_then_nothing_then_verify(checkout: Path, tmp_path: Path) -> None:
    artifacts = tmp_path / "a"
    known = asked(checkout, artifacts)
    first = make(checkout, "features", *known)
    assert first.returncode == 0, first.stderr
    assert "shards made" in first.stdout
    before = here.stamps(artifacts)
    second = make(checkout, "features", *known)
    assert "nothing to do: all of it stands" in second.stdout, second.stdout
    assert here.stamps(artifacts) == before
    done = make(checkout, "resume", f"ARTIFACTS={artifacts}")
    assert done.returncode == 0, done.stderr
    assert "nothing to do: all of it stands" in done.stdout
    assert "no run to go on with" in done.stderr  # said, and no reason to fail


def test_many_stages_at_once(checkout: Path, tmp_path: Path) -> None:
    """-j -k on all stages: they still run one after another, each once."""
    done = make(checkout, "-j", "-k", "scan", "decode", "shards", "features", "verify",
                *asked(checkout, tmp_path / "a"))  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("scan: ") == 2  # its own, and that of features
    assert done.stdout.count("decode: nothing to do") == 1
    assert "all good" in done.stdout
    here.features(checkout.parent / "data", tmp_path / "b",
                  corpus.recipes(checkout.parent / "recipes", corpus.CLASSES))  # fmt: skip
    assert corpus.tree_hash(tmp_path / "a") == corpus.tree_hash(tmp_path / "b")


@pytest.mark.slow
def test_stages_named_in_the_wrong_order(checkout: Path, tmp_path: Path) -> None:
    """What comes too early says so; with -k the rest is done all the same."""
    done = make(checkout, "-j", "-k", "verify", "shards", "decode", "scan",
                *asked(checkout, tmp_path / "a"))  # fmt: skip
    assert done.returncode == 2, done.stdout
    assert (done.stdout.count("scan: "), done.stdout.count("decode: ")) == (1, 1)
    assert "another run is using" not in done.stderr
    assert here.verify(tmp_path / "a")[0] == 0


NAMES = [
    "with spaces", "it's", 'say "so"', "$(shell touch pwn)", "$HOME", "$$(touch pwn)", "#hash",
    "`touch pwn`", "; touch pwn", "a;touch pwn;", "&& touch pwn", "| touch pwn", "back\\slash",
    "per%cent", "$(info x)$(DATA)", "-rf", "new\nline", "=x", "${PATH}", "é", "\ttab", "x\\",
    "$(eval X:=$(shell touch pwn))", "!(touch pwn)", "a:b", "*", "~",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("way", ["argument", "environment"])
def test_values_are_taken_as_they_are(checkout: Path, name: str, way: str) -> None:
    """What a command sees is what was typed; nothing in it is run, by make or by the shell."""
    teller = checkout / "teller" / "bin" / "python"
    teller.parent.mkdir(parents=True, exist_ok=True)
    teller.write_text('#!/bin/sh\nprintf "%s" "$DATA"\n')
    teller.chmod(0o755)
    (checkout / "teller" / "core.stamp").touch()
    value = f"/data/{name}"
    told = [f"DATA={value}"] if way == "argument" else []
    env = {"DATA": value} if way == "environment" else {}
    done = make(checkout, "scan", "VENV=teller", *told, env=env)
    assert not (checkout / "pwn").exists()
    assert done.returncode == 0, done.stderr
    assert done.stdout == value


def test_a_folder_with_every_bad_character(checkout: Path, tmp_path: Path) -> None:
    """Through make, the shell and the pipeline to the file itself."""
    data = tmp_path / "a 'b' \"c\" $(touch pwn) ;touch pwn; `touch pwn` #$HOME\\%"
    data.mkdir()
    corpus.sf.write(data / "new\nline $(touch pwn).wav", corpus.voice(1, 1.0), corpus.RATE)
    known = asked(checkout, tmp_path / "artifacts", DATA=os.fspath(data))
    done = make(checkout, "scan", *known)
    assert done.returncode == 0, done.stderr
    assert f"scan: 1 audio file in {data}" in done.stdout
    assert not list(tmp_path.rglob("pwn"))
    assert not (checkout / "pwn").exists()


def test_a_misspelt_variable_is_refused(checkout: Path) -> None:
    """Of those on the command line; what other programs read may be said there too."""
    for told in ("EPOCH=2", "VIEWS=0", "Data=$(shell touch pwn)", "STAGE=x"):
        done = make(checkout, "-n", "scan", told)
        assert (done.returncode, done.stdout) == (2, ""), told
        said = f"no such variable: {told.partition('=')[0]}. Known are: ABLATION ARCH ARTIFACTS"
        assert said in done.stderr
        assert len(done.stderr.splitlines()) == 1
    fine = ("GPU=1", "PYTHON=python3", "SHELL=/bin/sh", "CUDA_VISIBLE_DEVICES=0", "JOBS=2",
            "OMP_NUM_THREADS=1", "EPOCHS=$(touch pwn)")  # fmt: skip
    done = make(checkout, "-n", "-j2", "scan", *fine, env={"EPOCH": "2"})
    assert done.returncode == 0, done.stderr
    assert not (checkout / "pwn").exists()


def test_every_stage_waits_for_the_one_before(checkout: Path) -> None:
    """The dry run names the stages in their order."""
    for target, stages in {
        "scan": ["scan"], "decode": ["scan", "decode"], "shards": ["scan", "decode", "shards"],
        "features": ["features"], "verify": ["verify"], "report": ["report"],
    }.items():  # fmt: skip
        done = make(checkout, "-n", target)
        said = [line.split()[-1] for line in done.stdout.splitlines() if "-m pipeline" in line]
        assert said == stages, target


def test_a_failed_stage_stops_the_next(checkout: Path, tmp_path: Path) -> None:
    done = make(checkout, "features", *asked(checkout, tmp_path / "a", DATA=str(tmp_path / "no")))
    assert done.returncode == 2
    assert "no such folder" in done.stderr
    assert "decode" not in done.stdout


def test_help_names_every_target(checkout: Path) -> None:
    told = make(checkout, "help").stdout
    text = (corpus.REPO / "Makefile").read_text()
    targets = {name for row in re.findall(r"^\.PHONY: (.*)$", text, re.M) for name in row.split()}
    assert {"features", "train-denoiser", "evaluate", "denoise", "export", "test"} <= targets
    assert {"train-classifier", "teacher", "classify", "tensorflow", "bench"} <= targets
    assert {"train-hybrid", "train-tagger", "tag", "import-musicnn"} <= targets
    assert {"train-diarizer", "diarize", "doctor", "real-audio"} <= targets
    for target in targets - {"help", "format"}:
        assert re.search(rf"^  make {target} +\S", told, re.M), target
    rules = re.findall(r"^([a-z-]+):(?!=)", text, re.M)
    assert set(rules) == targets  # none is taken for a file of its name
    for name in {*corpus.ASKED, *corpus.TRAINING}:
        assert re.search(rf"\b{name}=", told), name


# ------------------------------------------------------------------ training

TOLD = {*corpus.ASKED, *corpus.TRAINING}


@pytest.fixture(scope="module")
def stub(checkout: Path) -> Path:
    """An environment whose python and torchrun only say how they were called."""
    code = "import json, os, sys; print(json.dumps([sys.argv[1:], dict(os.environ)]))"
    for name in ("python", "torchrun"):
        path = checkout / "stub" / "bin" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\nexec '{sys.executable}' -c '{code}' {name} \"$@\"\n")
        path.chmod(0o755)
    for stamp in ("core", "torch", "tensorflow", "musicnn", "av"):
        (checkout / "stub" / f"{stamp}.stamp").touch()
    return checkout


Call = tuple[str, dict[str, str]]


def calls(checkout: Path, target: str, **told: str) -> list[Call]:
    """What make started: the command, and what it was told."""
    given = [f"{name}={value}" for name, value in told.items()]
    done = make(checkout, target, "VENV=stub", *given)
    assert done.returncode == 0, done.stderr
    assert not (checkout / "pwn").exists()
    found = [json.loads(line) for line in done.stdout.splitlines()]
    return [(shlex.join(argv), {n: env[n] for n in TOLD if env.get(n)}) for argv, env in found]


ODD = 'it\'s "so" $(touch pwn) #x'
TRAIN = "-m training.denoiser train"


def test_training_makes_its_shards_first(stub: Path) -> None:
    told = {"RUN": "a b", "DATA": ODD, "INIT": ODD, "PROFILE": "best", "EPOCHS": "3"}
    features, train = calls(stub, "train-denoiser", **told)
    default = {"RECIPE": "denoise-speech-snr"}
    assert features == ("python -m pipeline features --as-before", told | default)
    assert train == (f"python {TRAIN}", told)
    features, train = calls(stub, "train-denoiser", RECIPE=f"{ODD}.toml")
    assert features[1] == train[1] == {"RECIPE": f"{ODD}.toml"}


def test_a_classifier_is_trained_on_its_own_shards(stub: Path) -> None:
    told = {
        "BACKBONE": ODD, "WEIGHTS": ODD, "TEACHER": "a, $(touch pwn)", "FOLDS": "5",
        "AUGMENT": "no", "RUN": "$$HOME", "PROFILE": "best",
    }  # fmt: skip
    features, train = calls(stub, "train-classifier", **told)
    default = {"RECIPE": "noise-classifier"}
    assert features == ("python -m pipeline features --as-before", told | default)
    assert train == ("python -m training.classifier train", told)
    features, train = calls(stub, "train-classifier", RECIPE=f"{ODD}.toml")
    assert features[1] == train[1] == {"RECIPE": f"{ODD}.toml"}


@pytest.mark.parametrize(
    ("model", "recipe", "own"),
    [("hybrid", "hybrid", {"FOLDS": "5", "ABLATION": "no", "MAX_RAM": "15GB"}),
     ("tagger", "musicnn", {"INIT": ODD})],
)  # fmt: skip
def test_hybrids_and_taggers_likewise(
    stub: Path, model: str, recipe: str, own: dict[str, str]
) -> None:
    told = {"NET": ODD, "AUGMENT": "no", "RUN": "$$HOME", "BUDGET": "8h"} | own
    features, train = calls(stub, f"train-{model}", **told)
    assert features == ("python -m pipeline features --as-before", told | {"RECIPE": recipe})
    assert train == (f"python -m training.{model} train", told)
    features, train = calls(stub, f"train-{model}", RECIPE=f"{ODD}.toml")
    assert features[1] == train[1] == {"RECIPE": f"{ODD}.toml"}


def test_training_on_several_processes(stub: Path) -> None:
    _, train = calls(stub, "train-denoiser", PROCESSES="2", RUN=ODD)
    command = f"torchrun --standalone --nproc-per-node 2 {TRAIN}"
    assert train == (command, {"RUN": ODD, "PROCESSES": "2"})
    assert calls(stub, "train-denoiser", PROCESSES="1")[1][0] == f"python {TRAIN}"
    assert calls(stub, "train-denoiser", PROCESSES="")[1][0] == f"python {TRAIN}"
    for wrong in ("2; touch pwn", "0", "abc", "-1"):
        done = make(stub, "VENV=stub", "train-diarizer", f"PROCESSES={wrong}")
        assert done.returncode == 2
        assert f"error: PROCESSES={wrong} is no number of processes" in done.stderr
    assert not (stub / "pwn").exists()


def test_a_training_that_lacks_its_shards_does_not_begin(checkout: Path, tmp_path: Path) -> None:
    known = asked(checkout, tmp_path / "a", DATA=str(tmp_path / "no"))
    done = make(checkout, "train-denoiser", *known)
    assert done.returncode == 2
    assert done.stderr.splitlines()[0].endswith("no such folder. Give DATA=a folder of recordings")
    assert len(done.stderr.splitlines()) == 2  # the second is make's own


def test_resume_goes_on_with_shards_then_with_training(stub: Path) -> None:
    plain = ["python -m pipeline resume", "python -m training.resume"]
    assert [command for command, _ in calls(stub, "resume")] == plain
    assert [command for command, _ in calls(stub, "resume", RUN="")] == plain
    told = {"RUN": ODD, "CHECKPOINT": "step 12"}
    assert calls(stub, "resume", **told) == [("python -m training.resume", told)]


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("evaluate", {"RUN": "a, b", "ON": ODD, "LIMIT": "5"}),
        ("denoise", {"IN": ODD, "OUT": "-rf ~ *", "RUN": "a b"}),
        ("classify", {"IN": ODD, "RUN": "a b", "TOP": "5", "JSON": "yes"}),
        ("tag", {"IN": ODD, "OUT": "-rf ~ *", "RUN": "a b", "TOP": "5", "JSON": "1", "JOBS": "3"}),
        ("diarize", {"IN": ODD, "OUT": "-rf ~ *", "RUN": "a b", "SPEAKERS": "3"}),
        ("teacher", {"RUN": ODD}),
        ("analyze", {"RUN": ODD}),
        ("export", {"RUN": ODD}),
    ],
)
def test_what_is_done_with_a_run(stub: Path, target: str, told: dict[str, str]) -> None:
    """What several models can be asked goes where the run is found first."""
    own = {"denoise": ".denoiser", "tag": ".tagger", "teacher": ".classifier",
           "diarize": ".diarizer"}  # fmt: skip
    command = f"python -m training{own.get(target, '')} {target}"
    assert calls(stub, target, **told) == [(command, told)]
    assert calls(stub, target) == [(command, {})]


def test_the_doctor_and_real_recordings(stub: Path) -> None:
    told = {"DATA": ODD, "RECIPE": "a, b", "JOBS": "3", "MAX_RAM": "4GB"}
    assert calls(stub, "doctor", **told) == [("python -m pipeline doctor", told)]
    assert calls(stub, "real-audio", OUT=ODD) == [("python -m pipeline real-audio", {"OUT": ODD})]


def test_real_recordings_do_without_pyav_where_it_cannot_be_had(stub: Path) -> None:
    """A pip that fails is said, leaves no stamp, and stops nothing."""
    stamp, python = (stub / "stub" / name for name in ("av.stamp", "bin/python"))
    stamp.unlink()
    kept = python.read_text()
    python.write_text('#!/bin/sh\ncase "$*" in *-m\\ pip\\ *) exit 1 ;; *) echo fetched ;; esac\n')
    done = make(stub, "real-audio", "VENV=stub")
    python.write_text(kept)
    assert (done.returncode, stamp.exists()) == (0, False), done.stderr
    assert done.stdout.splitlines()[-2:] == ["PyAV was not installed", "fetched"]
    stamp.touch()


def test_published_weights_are_imported(stub: Path) -> None:
    assert calls(stub, "import-musicnn") == [("python -m training.tagger import", {})]


@pytest.mark.parametrize(
    ("target", "framework"),
    [("train-denoiser", "torch"), ("denoise", "torch"), ("train-classifier", "tensorflow"),
     ("train-hybrid", "tensorflow"), ("train-tagger", "tensorflow"), ("tag", "tensorflow"),
     ("import-musicnn", "tensorflow"), ("train-diarizer", "torch"), ("diarize", "torch"),
     ("teacher", "tensorflow"), ("classify", "tensorflow"), ("tensorflow", "tensorflow"),
     ("analyze", ""), ("evaluate", ""), ("export", ""), ("resume", "")],
)  # fmt: skip
def test_a_framework_is_installed_where_it_is_needed(
    checkout: Path, target: str, framework: str
) -> None:
    """The dry run in an environment that has none yet; what works on any run asks for neither."""
    done = make(checkout, "-n", target, "VENV=nothing")
    assert done.returncode == 0, done.stderr
    found = set(re.findall(r"-r \.ci/(torch|tensorflow)\.lock", done.stdout))
    assert found == {framework} - {""}
    assert "-m venv nothing" in done.stdout
    if framework:
        gpu = make(checkout, "-n", target, "VENV=nothing", "GPU=1").stdout
        extra = {"torch": "torch", "tensorflow": "tensorflow-gpu"}[framework]
        assert f'".[{extra}]"' in gpu
        assert f"-r .ci/{framework}.lock" not in gpu


@pytest.mark.parametrize(
    ("framework", "other"), [("torch", "torch"), ("tensorflow", "tensorflow tensorflow-cpu")]
)
def test_a_gpu_asked_for_later_changes_the_build(stub: Path, framework: str, other: str) -> None:
    """Once, and what goes on without GPU=1 afterwards leaves it alone."""
    stamp = stub / "stub" / f"{framework}.stamp"
    kept = stamp.read_text()
    log = make(stub, "-n", framework, "VENV=stub", "GPU=1").stdout
    gone = f"rm -f stub/{framework}.stamp; "  # else it would stand where the new build fails
    gone += f"stub/bin/python -m pip uninstall --quiet --yes {other} 2>"
    assert log.index(gone) < log.index("pip install")
    assert "pip" not in make(stub, "-n", framework, "VENV=stub").stdout
    stamp.write_text("gpu\n")
    assert "pip" not in make(stub, "-n", framework, "VENV=stub", "GPU=1").stdout
    assert "pip" not in make(stub, "-n", framework, "VENV=stub").stdout
    stamp.write_text(kept)
