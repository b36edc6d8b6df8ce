"""The summary of an evaluation as tables to read.

Reads and writes nothing. Does: lays out numbers as plain text, "-" where there is none.
"""

from collections.abc import Mapping
from typing import Any

from training.denoiser.summary import INPUT, Summary
from training.tables import bounds, columns, difference, number, scaled

NAMES = {"pesq": "PESQ", "estoi": "ESTOI", "dnsmos": "DNSMOS", "si_sdr": "SI-SDR", "gain": "gain"}
PERCEPTUAL = ("pesq", "estoi", "dnsmos")
FEW = 10  # groups, below which an interval over them says little
NAMED = 3  # of the worst mixtures


def table(told: Summary) -> str:
    """All systems; then by noise; then ours by noise and level and beside each other one."""
    parts = [_systems(told)]
    if len(told["kinds"]) > 1:
        parts.append(_kinds(told))
    if told["ours"]:
        parts += [_cells(told)] if len(told["kinds"]) > 1 else []
        parts += [_ahead(told), _worst(told)]
    return "\n\n".join(parts) + "\n"


def matrix_table(cells: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    """Networks down, recipes across: mean gain in dB with its interval."""
    recipes = list(next(iter(cells.values())))
    rows = []
    for name, row in cells.items():
        shown = [difference(row[on], 1) + f"  at {row[on]['rate']} Hz" for on in recipes]
        rows.append([name, *shown])
    title = "Mean SI-SDR gain, dB [95 % interval], of each network (down) on each recipe (across),"
    title += "\nscored at the lower of the two rates\n\n"
    return title + columns([["", *recipes], *rows]) + "\n"


def _systems(told: Summary) -> str:
    perceptual = [s for s in PERCEPTUAL if _any(told, s)]
    head = ["", *map(_level(told), told["levels"]), "mean", "95 %", "median"]
    rows = [[*head, *map(NAMES.get, perceptual), "clean", "worst", "params", "MACs/s", "RTF"]]
    for name, one in _ordered(told):
        gains = [number(one["levels"][f"{x:g}"]["gain"], 1) for x in told["levels"]]
        gain = one["over"]["gain"]
        spread = f" ±{one['spread']['gain']:.1f}" if one["spread"] else ""
        rows.append(
            [
                name,
                *gains,
                number(gain["mean"], 1) + spread,
                bounds(gain, 1),
                number(one["median"], 1),
                *(number(one["over"][s]["mean"], 3 if s == "estoi" else 2) for s in perceptual),
                number(one["clean"]["median"], 1),
                number(one["worst"]["mean"], 1),
                scaled(one["parameters"]),
                scaled(one["macs"]),
                number(one["rtf"], 3) if name != INPUT else "-",
            ]
        )
    return f"{_title(told)}\n{columns(rows)}\n\n" + "\n".join(_notes(told))


def _title(told: Summary) -> str:
    what = "SNR" if told["unit"] == "dB" else "standard deviation of the noise"
    return (
        f"{told['recipe']}, {told['split']}: {told['mixtures']} mixtures of {told['files']} "
        f"recordings in {told['groups']} groups, scored at {told['rate']} Hz\n"
        f"SI-SDR gain over the input, dB, by {what}\n"
    )


def _notes(told: Summary) -> list[str]:
    level, span, held = _level(told), told["span"], told["systems"]
    own = [number(held[INPUT]["levels"][f"{x:g}"]["si_sdr"], 1) for x in told["levels"]]
    over = f"{level(span[0])} to {level(span[-1])}" if len(span) > 1 else level(span[0])
    groups = "groups (speakers, sources)" if told["interval_over"] == "groups" else "recordings"
    few = "; few, so it is rough" if told["groups"] < FEW else ""
    lines = [
        f"SI-SDR of the input itself: {', '.join(own)} dB",
        f"mean, median, {', '.join(NAMES[s] for s in PERCEPTUAL)}: over {over}",
        f"95 %: bootstrap interval of the mean over {groups}, not over windows{few}",
        "clean: SI-SDR, dB, of clean input that went through (median)",
        "worst: mean gain of the worst 5 %; RTF: seconds of one core for a second of sound",
    ]
    runs = max(one["runs"] for one in held.values())
    if runs > 1:
        lines.append(f"±: standard deviation over {runs} runs")
    return [*lines, *_unscored(held)]


def _unscored(held: Mapping[str, Summary]) -> list[str]:
    """How many mixtures have no score, in one line for all systems that share the numbers."""
    lines: dict[str, list[str]] = {}
    for name, one in held.items():
        parts = {s: one["of"] - n for s, n in one["scored"].items() if 0 < n < one["of"]}
        if parts:
            told = ", ".join(f"{NAMES[s]} {n}" for s, n in parts.items())
            lines.setdefault(f"{told} of {one['of']}", []).append(name)
    return [f"no score (silence, no speech): {n} ({', '.join(who)})" for n, who in lines.items()]


def _kinds(told: Summary) -> str:
    rows = [["", *told["kinds"]]]
    for name, one in _ordered(told):
        cells = [one["kinds"].get(kind, {}).get("over", {}).get("gain") for kind in told["kinds"]]
        rows.append([name, *(number(cell, 1) for cell in cells)])
    return "Mean gain by noise, dB\n\n" + columns(rows)


def _cells(told: Summary) -> str:
    """Gain of ours by noise and level."""
    rows = [["", *map(_level(told), told["levels"])]]
    for kind, cell in told["systems"][told["ours"]]["kinds"].items():
        gains = [cell["levels"][f"{x:g}"]["gain"] for x in told["levels"]]
        rows.append([kind, *(number(gain, 1) for gain in gains)])
    return f"Gain of {told['ours']}, dB\n\n" + columns(rows)


def _ahead(told: Summary) -> str:
    scores = ["gain", *(s for s in PERCEPTUAL if _any(told, s))]
    rows = [["", *(NAMES[s] for s in scores)]]
    for name, gaps in told["ahead"].items():
        rows.append([name, *(difference(gaps[s], 1 if s == "gain" else 3) for s in scores)])
    title = f"How far {told['ours']} lies above each, mixture by mixture [95 %]: better where the "
    return title + "whole interval is above 0\n\n" + columns(rows)


def _worst(told: Summary) -> str:
    one = told["systems"][told["ours"]]
    level, clean = _level(told), one["clean"]
    lines = [f"Worst of {told['ours']}"]
    for row in one["worst"]["rows"][:NAMED]:
        lines.append(
            f"{number(row['gain'], 1)} dB: {row['source'][:16]} from sample {row['start']}, "
            f"{row['kind']}, {level(row['level'])}"
        )
    if clean["where"]:
        lines.append(
            f"clean input: mean {number(clean['mean'], 1)} dB, worst {number(clean['worst'], 1)} "
            f"dB: {clean['where']['source'][:16]} from sample {clean['where']['start']}"
        )
    return "\n".join(lines)


def _ordered(told: Summary) -> list[tuple[str, Summary]]:
    """The input first, then ours, then the others by name; a file may have them in any order."""
    return sorted(
        told["systems"].items(),
        key=lambda item: (item[0] != INPUT, item[0] != told["ours"], item[0]),
    )


def _any(told: Summary, score: str) -> bool:
    return any(one["over"][score]["mean"] is not None for one in told["systems"].values())


def _level(told: Summary) -> Any:
    """How a level is written."""
    unit = " dB" if told["unit"] == "dB" else ""
    return lambda level: f"{level:g}{unit}"
