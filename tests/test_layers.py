"""The architecture, as a table that is checked: a module imports only from rows above its own.

Reads the sources of pipeline/ and training/. Writes nothing.
"""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent.parent
LINES = 250  # in a file
BODY = 45  # lines in a function, its docstring aside

# From the ground up. Modules of one row know nothing of each other.
ROWS = [
    # words and numbers: how things go wrong, names of draws, buckets, code versions
    "errors rng dsp.levels dsp.bands dsp.room dsp.clusters buckets progress code demo.files "
    "real.sets doctor.finding doctor.apart formats.png reports.words",
    # what an audio file declares against what it holds
    "audio.sizes",
    # one idea each, on arrays, bytes or text: files on disk, typed tables, noise, mixtures
    "disk.store typed dsp.noise dsp.mix dsp.voice formats.fields layouts.groups audio.headers "
    "layouts.rttm demo.voices real.sounds doctor.libraries",
    # how fast stages were; spectra; stamps of files; the run lock; the workers; who is in which
    # split; decoders
    "recipe dsp.mel disk.stamps disk.guard disk.clean jobs layouts.splits formats.varints "
    "audio.pcm layouts.lists audio.sndfile audio.pyav demo.music demo.sounds doctor.gpu speeds",
    # what is stored and how; one file opened; files that kill a worker
    "dsp.features dsp.whose formats.hdf5 formats.tfrecord audio.codecs suspects tracks "
    "dsp.activity dsp.statistics layouts.corpora layouts.ownlist demo.plan "
    "real.packages doctor.machine doctor.folders reports.frame reports.charts",
    # recipes by name; a recipe's fields; what a task carries; how a folder is laid out; the demo
    # corpus; of a page: one example drawn, shards read
    "cookbook schema items walk cache layouts.recognise demo.corpus real.keep doctor.heard "
    "reports.figures reports.shelves",
    # a conversation; what is known of a window unheard; the corpus of real recordings; a page's
    # counts
    "talks known real.corpus reports.tally",
    # a window's features and labels; its command
    "examples real.command",
    # stage 1; one shard
    "scan shards packing",
    # stage 2
    "decode",
    # what both stages left; are the small files what they were
    "corpus verify_notes",
    # which noise goes where; is the decoded audio what it was; what a person asks; what a key is
    # made of
    "draws verify_corpus request keys",
    # who talks in a conversation; who speaks in a recording
    "casts turns",
    # which example stands in which shard; who speaks where nobody says so; is every shard true
    "plan labels verify",
    # what an index says; features without a corpus; of a page: sound, sections of numbers
    "index library reports.sounds reports.sections",
    # stage 3; of a page: examples to look at and listen to
    "build reports.gallery",
    # what came of it; is there anything to do; a page about a recipe
    "summary unchanged __init__ reports.pages",
    # is the data fit for a run
    "doctor.data",
    # is everything
    "doctor.command",
    # one stage after another
    "stages",
    # the commands
    "cli",
    "__main__",
]
ROW = {name: number for number, row in enumerate(ROWS) for name in row.split()}

PIPELINE = sorted(
    path
    for path in (HERE / "pipeline").rglob("*.py")
    if path.name != "__init__.py" or path.parent.name == "pipeline"  # packages hold words only
)
TRAINING = sorted((HERE / "training").rglob("*.py"))
HEAVY = {"tensorflow", "keras", "torch", "matplotlib", "tensorboard", "pandas"}


def called(path: Path) -> str:
    """A module's name inside pipeline, such as dsp.mel."""
    return ".".join(path.relative_to(HERE / "pipeline").with_suffix("").parts)


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_bytes(), path.name)


def imports(path: Path) -> set[str]:
    """Full names of all modules that a file imports, inside functions too."""
    found: set[str] = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: say `from pipeline...`, not a relative import"
            folder = HERE / (node.module or "").replace(".", "/")
            whole = (node.module or "").split(".")[0] in (
                "pipeline",
                "training",
            ) and folder.is_dir()
            found |= {f"{node.module}.{alias.name}" for alias in node.names} if whole else set()
            found |= set() if whole else {node.module or ""}
    return found


def ours(path: Path) -> set[str]:
    """Pipeline modules that a file imports."""
    known = {called(path) for path in PIPELINE}
    found = set()
    for name in imports(path):
        if name.startswith("pipeline."):
            inside = name.removeprefix("pipeline.")
            found.add(inside if inside in known else inside.rpartition(".")[0])
    return found


@pytest.mark.parametrize("path", PIPELINE, ids=lambda p: p.stem)
def test_arrows_point_down(path: Path) -> None:
    assert called(path) in ROW, "a new module: give it a row of the table"
    for name in ours(path):
        assert name in ROW, f"{name} is in no row"
        assert ROW[name] < ROW[called(path)], (
            f"{called(path)} stands in the row of {name} or above it"
        )


def test_the_table_names_what_is_there() -> None:
    names = [name for row in ROWS for name in row.split()]
    assert len(names) == len(set(names))
    assert set(names) == {called(path) for path in PIPELINE}


@pytest.mark.parametrize("path", TRAINING, ids=lambda p: p.stem)
def test_training_imports_nothing_of_the_pipeline(path: Path) -> None:
    assert not {name for name in imports(path) if name.split(".")[0] == "pipeline"}


def module(path: Path) -> str:
    """A file's module, such as training.denoiser.net."""
    return ".".join(path.relative_to(HERE).with_suffix("").parts).removesuffix(".__init__")


def test_training_has_no_circle() -> None:
    arrows = {module(p): {n for n in imports(p) if n.startswith("training.")} for p in TRAINING}
    left = dict(arrows)
    while free := [name for name, needs in left.items() if not needs & left.keys()]:
        for name in free:
            del left[name]
    assert not left


@pytest.mark.parametrize("path", TRAINING, ids=module)
def test_what_models_share_knows_none_of_them(path: Path) -> None:
    shared = {"training", "data", "engine", "graph", "classes"}
    rooms = {p.parent.name for p in TRAINING} - shared
    assert rooms == {"denoiser", "classifier", "tagger", "hybrid", "diarizer"}
    room = path.parent.name
    known = {name.split(".")[1] for name in imports(path) if name.startswith("training.")}
    assert known & rooms <= {room}


@pytest.mark.parametrize("path", PIPELINE, ids=lambda p: p.stem)
def test_heavy_libraries_are_imported_by_no_stage(path: Path) -> None:
    assert not {name.split(".")[0] for name in imports(path)} & HEAVY


def test_a_worker_loads_neither_tensorflow_nor_torch_nor_a_plotter() -> None:
    code = """
import sys
import numpy as np
import pipeline.build, pipeline.decode, pipeline.verify
from pipeline import cookbook, examples
for name in ("musicnn", "hybrid"):
    (one,) = cookbook.load([name])
    for feature in one.features.values():
        examples.feature(np.ones(70000, np.float32), feature, one)
print(" ".join(sorted({name.split(".")[0] for name in sys.modules})))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=HERE)
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.split())
    assert "librosa" in loaded  # the filterbank was really made
    assert not loaded & HEAVY
    assert "training" not in loaded


@pytest.mark.parametrize("path", PIPELINE, ids=lambda p: p.stem)
def test_a_file_opens_with_what_it_reads_does_and_writes(path: Path) -> None:
    told = (ast.get_docstring(tree(path)) or "").lower()
    assert told, "no docstring"
    if path.stem != "__init__":
        assert all(word in told for word in ("read", "do", "writ"))


@pytest.mark.parametrize("path", TRAINING, ids=lambda p: p.stem)
def test_a_file_of_training_says_what_it_touches(path: Path) -> None:
    if path.stem != "__init__":
        told = (ast.get_docstring(tree(path)) or "").lower()
        assert "writ" in told
        assert "read" in told or "does" in told


@pytest.mark.parametrize("path", [*PIPELINE, *TRAINING], ids=lambda p: f"{p.parent.name}.{p.stem}")
def test_a_file_fits_a_few_screens_and_a_function_one(path: Path) -> None:
    long = {}
    for node in ast.walk(tree(path)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            told = ast.get_docstring(node) is not None and len(node.body) > 1
            first = node.body[1 if told else 0].lineno
            if (node.end_lineno or first) - first >= BODY:
                long[node.name] = (node.end_lineno or first) - first + 1
    assert not long
    assert len(path.read_text().splitlines()) <= LINES
