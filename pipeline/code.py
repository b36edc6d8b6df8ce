"""The version of the code that makes a number: part of every key.

Reads: the source of the pipeline's modules. Does: hashes a module with all it imports of ours;
comments, docstrings and layout do not count. Writes: nothing.
"""

import ast
import functools
import hashlib
import importlib.metadata
from pathlib import Path

HERE = Path(__file__).parent


@functools.cache
def version(module: str, idle: frozenset[str] = frozenset()) -> str:
    """Hash of `module` (such as "dsp.mel") and of every pipeline module it reaches.

    Modules in `idle` are imported, but do nothing for the caller: they do not count.
    """
    reached, waiting = {module}, [module]
    while waiting:
        for name in sorted(_parsed(waiting.pop())[1] - reached - idle):
            reached.add(name)
            waiting.append(name)
    text = "\n".join(f"{name} {_parsed(name)[0]}" for name in sorted(reached))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@functools.cache
def _parsed(module: str) -> tuple[str, frozenset[str]]:
    """(what the module does, the pipeline modules it imports)."""
    tree = ast.parse((HERE / f"{module.replace('.', '/')}.py").read_bytes())
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("pipeline"):
            name = (node.module or "").removeprefix("pipeline").lstrip(".")
            if (HERE / name.replace(".", "/")).is_dir():  # names of modules, not of what they hold
                found |= {f"{name}.{alias.name}".lstrip(".") for alias in node.names}
            else:
                found.add(name)
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
            value = body[0].value
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                body[0].value = ast.Constant("")
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest(), frozenset(found)


@functools.cache
def libraries(*names: str) -> dict[str, str]:
    """Installed versions of the libraries that make the numbers."""
    return {name: importlib.metadata.version(name) for name in sorted(names)}
