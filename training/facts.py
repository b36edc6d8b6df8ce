"""What a run began with, and how it differs from what it is asked to go on with.

Reads the installed versions; writes nothing. Does: names every key that changed.
"""

import contextlib
import json
import platform
from collections.abc import Mapping
from importlib import metadata
from typing import Any

from training import durable

LIBRARIES = ("numpy", "torch", "tensorflow", "tensorflow-cpu", "keras")
# What does not change the weights: it may differ when a run goes on, and is not in its name.
FREE = {"save_steps", "save_seconds", "log_steps", "ablation", "shared"}
MISSING = "nothing"


def signed(facts: Mapping[str, Any]) -> dict[str, Any]:
    """What a run's weights depend on, as dotted keys."""
    named = {k: facts[k] for k in ("model", "config", "data", "setup") if k in facts}
    return {k: v for k, v in _flat(named).items() if k.rpartition(".")[2] not in FREE}


def called(facts: Mapping[str, Any], ranks: int = 1) -> str:
    """The name of a run that nobody named: after what determines it."""
    return durable.digest([signed(json.loads(durable.dump_json(facts))), ranks])[:8]


def _flat(value: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, item in value.items():
        inner = _flat(item, f"{before}{key}.") if isinstance(item, dict) else {}
        flat |= inner or {before + key: item}
    return flat


def differences(known: Mapping[str, Any], now: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """(dotted key, value then, value now) of everything that counts and changed."""
    old, new = signed(known), signed(now)
    rows = ((k, old.get(k, MISSING), new.get(k, MISSING)) for k in sorted(old | new))
    return [row for row in rows if json.dumps(row[1]) != json.dumps(row[2])]  # 1 is not True


def versions() -> dict[str, str]:
    """Of what makes the numbers."""
    found = {"python": platform.python_version(), "machine": platform.machine()}
    for name in LIBRARIES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found
