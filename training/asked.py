"""What a person typed for a training script, understood.

Reads .toml files for their names; writes nothing. Does: times such as 8h, lists of names, recipes
by name or file.
"""

import math
import os
import re
import tomllib
from pathlib import Path

from training.errors import Changed

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def seconds(text: str) -> float:
    """`8h`, `90m`, `1h30m`, `45s`, `2d`, or a number of seconds; 0 is none, whatever a profile
    has."""
    if text == "0":
        return 0.0
    said = f"{text}s" if re.fullmatch(r"\d+(\.\d+)?", text) else text.lower()
    parts = re.findall(r"(\d+(?:\.\d+)?)([smhd])", said)
    found = sum(float(number) * UNITS[unit] for number, unit in parts)
    if not found or "".join(number + unit for number, unit in parts) != said:
        raise Changed("no time", "BUDGET", "such as 8h, 90m or 1h30m", text)
    return found


def size(text: str) -> int:
    """`15GB`, `800MB`, or a number of bytes."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(?:([kmgt])i?)?b?", text.strip().lower())
    told = float(found[1]) * 1024 ** " kmgt".index(found[2] or " ") if found else 0.0
    if not 1 <= told < math.inf:
        raise Changed("no size", "MAX_RAM", "such as 15GB or 800MB", text)
    return int(told)


def checkpoint_step(text: str) -> int:
    """The step that a checkpoint is named by: 1200, step-1200 or its file; -1 for none."""
    found = re.fullmatch(r"(?:.*step-)?(\d+)(?:-best)?(?:\.ckpt)?|", text)
    if not found:
        raise Changed("not a checkpoint", "CHECKPOINT", "a step, such as 1200", text)
    return int(found[1] or -1)


def words(text: str) -> list[str]:
    """Names separated by commas or spaces."""
    return list(filter(None, re.split(r"[,\s]+", text)))


def recipes(text: str) -> list[str]:
    """Names of recipes from names and .toml files, each once."""
    given = [text] if os.path.isfile(text) else words(text)
    return list(dict.fromkeys(map(_name, given)))


def one_recipe(text: str, variable: str = "RECIPE") -> str:
    """The only one of a list of recipes."""
    names = recipes(text)
    if len(names) != 1:
        raise Changed("one recipe at a time", variable, "one name", text)
    return names[0]


def _name(word: str) -> str:
    if not word.endswith(".toml"):
        return word
    try:
        return str(tomllib.loads(Path(word).read_text("utf-8"))["name"])
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, KeyError) as error:
        raise Changed("not a recipe with a name", word, got=error) from error
