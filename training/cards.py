"""What the cards of any model share: tables, a configuration, versions, as Markdown.

Reads and writes nothing. Does: lays out what a run's config.json holds.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from training.graph.usage import INT8_AUDIO, cells, usage

Facts = Mapping[str, Any]
SPLITS = ("train", "valid", "test")


def grid(rows: Sequence[Sequence[str]]) -> str:
    """A table; its first row is the head."""
    head, *others = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([head, "|" + "---|" * len(rows[0]), *others])


def data_grid(facts: Facts, measured_on: Mapping[str, str], counts: Mapping[str, Facts]) -> str:
    """The recipes that a run learned from; by recipe, on what it was measured, and the counts of
    its index."""
    cells = [["recipe", "index key", *SPLITS, "measured on"]]
    for recipe, key in facts["data"].items():
        held = counts.get(recipe, {}).get("examples", {})
        sizes = [str(held.get(split, "-")) for split in SPLITS]
        cells.append([f"`{recipe}`", f"`{key[:16]}`", *sizes, measured_on.get(recipe, "-")])
    return grid(cells)


def configuration(config: Facts) -> str:
    """Every key that a run began with."""
    lines = [f"- `{key}`: {_shown(value)}" for key, value in _flat(config)]
    return "## Configuration\n\n" + "\n".join(lines)


def files(name: str, exports: Facts | None) -> str:
    """The exports of the run `name`, and how one is used."""
    if not exports:
        do = "writes the model as SavedModel and TensorFlow Lite files, float and 8 bits."
        return f"`make export RUN={name}` {do}"
    text = f"{grid(cells(exports))}\n\nA difference is of a probability, to the net itself."
    if any(row["file"] == INT8_AUDIO for row in exports["exports"]):
        text += f" Without this project:\n\n```python\n{usage(exports).rstrip()}\n```"
    return text


def torch_files(name: str, exports: Facts | None) -> str:
    """The same of networks of torch, which hear sound."""
    rows = exports["exports"] if exports else []
    if not rows:
        return f"`make export RUN={name}` writes the model as ONNX and TorchScript."
    held = [["file", "MB", "largest difference", "ms a second of sound, one core"]]
    for row in rows:
        size = f"{row['bytes'] / 1e6:.1f}"
        held.append([f"`{row['file']}`", size, f"{row['difference']:.1g}", f"{row['ms']:.1f}"])
    return grid(held)


def has_onnx(exports: Facts | None) -> bool:
    return any(row["file"].endswith(".onnx") for row in (exports or {"exports": []})["exports"])


def measured(tables: Mapping[str, str]) -> str:
    """The tables by recipe, as they are printed."""
    if not tables:
        return "## Measured\n\nNot yet: `make evaluate` does it."
    parts = [f"### {recipe}\n\n```\n{text.rstrip()}\n```" for recipe, text in tables.items()]
    return "## Measured\n\n" + "\n\n".join(parts)


def versions(facts: Facts, name: str, day: str) -> str:
    """What the run `name` was trained with."""
    held = ", ".join(f"{key} {value}" for key, value in sorted(facts["versions"].items()))
    setup = facts["setup"]
    cores = f"processes {setup['ranks']}, threads {setup['threads']}"
    return f"## Versions\n\nRun `{name}`: {cores}; {held}. Card of {day}."


def _flat(config: Facts, before: str = "") -> list[tuple[str, Any]]:
    rows: list[tuple[str, Any]] = []
    for key, value in config.items():
        inner = isinstance(value, Mapping)
        rows += _flat(value, f"{before}{key}.") if inner else [(before + key, value)]
    return rows


def _shown(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value)) or "none"
    return "off" if value is None or value == "" else str(value)
