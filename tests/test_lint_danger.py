"""What may not stand in the code at all: ways to run data, and random numbers without a name.

Reads the sources of pipeline/ and training/. Writes nothing.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import corpus

SOURCES = sorted(p for room in ("pipeline", "training") for p in (corpus.REPO / room).rglob("*.py"))
MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal", "yaml", "imp"}
CALLS = {"eval", "exec", "compile", "__import__", "execfile"}
METHODS = {"extractall", "unpack_archive", "system", "popen", "read_pickle"}
KEYWORDS = {("shell", True), ("allow_pickle", True), ("weights_only", False), ("safe_mode", False)}
STATE = {"np.random.seed", "np.random.get_state", "np.random.set_state"}
SEEDED = {"Generator", "Philox", "SeedSequence", "BitGenerator"}  # made from a seed, not global


def dangers(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        if isinstance(node, ast.Import):
            names = {alias.name.split(".")[0] for alias in node.names}
            yield from ((line, f"import {name}") for name in names & MODULES)
        elif isinstance(node, ast.ImportFrom):
            if (node.module or "").split(".")[0] in MODULES:
                yield line, f"from {node.module}"
            if node.module in ("random", "numpy.random", "os"):
                held = {alias.name for alias in node.names} - SEEDED
                bad = held & {"system", "popen"} if node.module == "os" else held
                yield from ((line, f"from {node.module} import {name}") for name in bad)
        elif isinstance(node, ast.Call):
            yield from ((line, text) for text in _call(node))
        elif isinstance(node, ast.Attribute) and _global_random(node):
            yield line, f"np.random.{node.attr}"


def _global_random(node: ast.Attribute) -> bool:
    whole = ast.unparse(node.value) in ("np.random", "numpy.random")
    return whole and node.attr not in SEEDED


def _call(node: ast.Call) -> Iterator[str]:
    told = ast.unparse(node.func)
    if told in CALLS:
        yield f"{told}()"
    if isinstance(node.func, ast.Attribute) and node.func.attr in METHODS:
        yield f".{node.func.attr}()"
    for keyword in node.keywords:
        told_so = getattr(keyword.value, "value", None)
        if (keyword.arg, told_so) in KEYWORDS and isinstance(told_so, bool):
            yield f"{keyword.arg}={told_so}"
    if told in ("torch.load", "keras.models.load_model", "np.load", "numpy.load"):
        wanted = {"torch.load": "weights_only", "np.load": "allow_pickle"}.get(told)
        if not any(keyword.arg == wanted for keyword in node.keywords):
            yield f"{told}() without {wanted}="
    if told == "joblib.load":
        yield "joblib.load()"


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.relative_to(corpus.REPO).as_posix())
def test_no_danger(path: Path) -> None:
    found = [(line, what) for line, what in dangers(ast.parse(path.read_text()))]
    if path.parent.name == "engine":  # a resumed run gives frameworks their state back
        found = [(line, what) for line, what in found if what not in STATE]
    assert found == []


def test_all_sources_are_looked_at() -> None:
    assert len(SOURCES) > 40


@pytest.mark.parametrize(
    "text",
    ["import pickle", "from pickle import load", "import yaml", "eval('1')", "exec(x)",
     "subprocess.run(x, shell=True)", "np.load(p, allow_pickle=True)", "np.load(p)",
     "torch.load(p)", "torch.load(p, weights_only=False)", "tar.extractall()", "os.system(x)",
     "np.random.seed(1)", "np.random.rand()", "from numpy.random import rand", "joblib.load(p)",
     "from random import random", "x = np.random.default_rng()", "pd.read_pickle(p)"],
)  # fmt: skip
def test_the_lint_sees(text: str) -> None:
    assert list(dangers(ast.parse(text)))


@pytest.mark.parametrize(
    "text", ["np.random.Generator(np.random.Philox(key=k))", "torch.load(p, weights_only=True)",
             "model.eval()", "re.compile(x)", "random = stream(1)\nrandom.integers(2)"],
)  # fmt: skip
def test_the_lint_lets_pass(text: str) -> None:
    assert not list(dangers(ast.parse(text)))
