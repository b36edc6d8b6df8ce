"""The summary of an evaluation as tables to read.

Reads and writes nothing. Does: lays out numbers as plain text, "-" where there is none.
"""

from collections.abc import Mapping
from typing import Any

from training.diarizer.summary import COLLAR, LITTLE, MUCH, OVERLAP, Summary, ordered
from training.tables import bounds, columns, difference, number, scaled

FEW = 10  # recordings, below which an interval over them says little
WORDS = {LITTLE: f"overlap < {100 * OVERLAP:g} %", MUCH: f">= {100 * OVERLAP:g} %"}
HEAD = ["", "DER", "95 %", f"DER {COLLAR:g}", "missed", "false", "confused", "overlap", "JER",
        "count", "RTF", "params"]  # fmt: skip


def table(told: Summary) -> str:
    """All systems; by how many speak and how much of it at once; ours beside each other one."""
    parts = [_systems(told)]
    if len(told["speakers"]) > 1 or len(told["overlaps"]) > 1:
        parts += [_kinds(told), _kinds(told, "_collar", f" {COLLAR:g}")]
    if told["ours"]:
        parts.append(_ahead(told))
    return "\n\n".join(parts) + "\n"


def percent(value: float | None) -> str:
    return number(None if value is None else 100 * value, 1)


def percents(found: Mapping[str, Any]) -> dict[str, float | None]:
    return {key: None if value is None else 100 * value for key, value in found.items()}


def _systems(told: Summary) -> str:
    rows: list[list[str]] = [HEAD]
    for name in ordered(told):
        one = told["systems"][name]
        rows.append([
            name, percent(one["der"]["mean"]), bounds(percents(one["der"]), 1),
            percent(one["der_collar"]["mean"]),
            *(percent(one[part]) for part in ("missed", "false", "confused", "together", "jer")),
            percent(one["counted"]), number(one["rtf"], 3), scaled(one["parameters"]),
        ])  # fmt: skip
    many = told["recordings"]
    title = f"{told['recipe']}, test: " if told["recipe"] else ""
    title += f"{many} recording{'s' if many != 1 else ''}, {_time(told['seconds'])}, with "
    title += f"{_time(told['speech'])} of speech\nEverything but RTF and params in %\n"
    return f"{title}\n{columns(rows)}\n\n" + "\n".join(_notes(told))


def _notes(told: Summary) -> list[str]:
    few = "; few, so it is rough" if told["recordings"] < FEW else ""
    return [
        "DER: missed + false + confused, parts of the speech, no collar, overlaps scored",
        f"95 %: bootstrap interval of the DER over recordings{few}",
        f"DER {COLLAR:g}: {COLLAR:g} s before and after each boundary of the truth are not scored",
        "overlap: DER where several speak; JER: mean over speakers",
        "count: recordings whose number of speakers is right",
        "RTF: seconds of one core for a second of sound",
    ]


def _kinds(told: Summary, errors: str = "", collar: str = "") -> str:
    """DER by number of speakers, and by overlap."""
    held = [("speakers", kind, f"{kind} speaker{'s' if kind != '1' else ''}")
            for kind in sorted(told["speakers"], key=int)]  # fmt: skip
    held += [("overlaps", kind, WORDS[kind]) for kind in WORDS if kind in told["overlaps"]]
    rows = [["", *(word for _, _, word in held)]]
    rows.append(["recordings", *(str(told[what][kind]) for what, kind, _ in held)])
    for name in ordered(told):
        one = told["systems"][name]
        rows.append([name, *(_cell(one[f"{what}{errors}"][kind]) for what, kind, _ in held)])
    return f"DER{collar} by number of speakers and by overlap, %\n\n" + columns(rows)


def _cell(found: Mapping[str, Any]) -> str:
    text = percent(found["mean"])
    return text if found["low"] is None else f"{text} {bounds(percents(found), 1)}"


def _ahead(told: Summary) -> str:
    rows = [["", "DER"]]
    for name in ordered(told):
        if name in told["ahead"]:
            rows.append([name, difference(percents(told["ahead"][name]), 1)])
    title = f"How much less DER {told['ours']} has than each, % [95 %]: better where the whole "
    return title + "interval is above 0\n\n" + columns(rows)


def _time(seconds: float) -> str:
    """Such as 1:02:03 or 4:05."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
