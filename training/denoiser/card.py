"""The card of a trained denoiser: what it is, how to use it, what it was measured to do and harm.

Reads and writes nothing: it is given what a run holds and returns Markdown.
"""

import datetime
from collections.abc import Mapping

from training.cards import (
    Facts,
    configuration,
    data_grid,
    has_onnx,
    measured,
    torch_files,
    versions,
)
from training.denoiser.summary import INPUT, Summary
from training.denoiser.table import table

ABOUT = {
    "unet": "a U-Net on the waveform that looks about one second to both sides",
    "spec": "a recurrent network on the short-time spectrum, causal: it answers 35 ms later",
}

SNIPPET = """\
```python
import numpy as np
import onnxruntime
import soundfile

noisy, rate = soundfile.read("noisy.wav", dtype="float32", always_2d=True)
assert rate == {rate}, "resample it first"
model = onnxruntime.InferenceSession("model.onnx")
(clean,) = model.run(None, {{"noisy": np.ascontiguousarray(noisy.T)}})  # a channel a row
soundfile.write("clean.wav", clean.T, rate)
```"""


def card(
    facts: Facts,
    told: Mapping[str, Summary],
    name: str,
    exports: Facts | None = None,
    counts: Mapping[str, Facts] | None = None,
    day: str = "",
) -> str:
    """`MODEL.md` of the run `name`.

    `facts` is its config.json, `told` recipe -> summary of its evaluation, `exports` what `export`
    returned, `counts` recipe -> the index's counts, `day` of the card (today).
    """
    parts = [
        _about(facts, told, name),
        _use(facts["config"]["rate"], name, exports),
        _data(facts, told, counts or {}),
        configuration(facts["config"]),
        measured({recipe: table(one) for recipe, one in told.items()}),
        _limits(facts["config"]["rate"], told),
        versions(facts, name, day or datetime.date.today().isoformat()),
    ]
    return "\n\n".join(parts) + "\n"


def _about(facts: Facts, told: Mapping[str, Summary], name: str) -> str:
    config = facts["config"]
    what = ABOUT[config["arch"].partition("-")[0]]
    text = (
        f"# Denoiser `{name}`\n\n"
        f"Takes noise out of recordings of any length: `{config['arch']}`, {what}. It works at "
        f"{config['rate']} Hz on each channel by itself."
    )
    for one in told.values():
        own = one["systems"].get(one["ours"])
        if own and own["parameters"]:
            speed = f"; a second of sound takes one core {own['rtf']:.3f} s" if own["rtf"] else ""
            return f"{text} {own['parameters'] / 1e6:.3g} M parameters{speed}."
    return text


def _use(rate: int, name: str, exports: Facts | None) -> str:
    text = (
        "## Use\n\n"
        f"    make denoise RUN={name} IN=noisy.wav OUT=clean.wav\n\n"
        "takes a file or a folder, of any rate and number of channels.\n\n"
    )
    text += torch_files(name, exports)
    if exports and exports["exports"]:
        text += "\n\nThe difference is to the network itself, in parts of full scale."
    if has_onnx(exports):
        text += f" Without this project, with onnxruntime:\n\n{SNIPPET.format(rate=rate)}"
    return text


def _data(facts: Facts, told: Mapping[str, Summary], counts: Mapping[str, Facts]) -> str:
    heard = {
        recipe: f"{one['mixtures']} mixtures, {one['groups']} groups"
        for recipe, one in told.items()
    }
    noise = "Noise was mixed anew for each example and epoch." if facts["config"]["online"] else ""
    return (
        f"## Data\n\n{data_grid(facts, heard, counts)}\n\n"
        "No speaker, source or noise recording of the test split is in the others: the network has "
        f"never heard them. {noise}".rstrip()
    )


def _limits(rate: int, told: Mapping[str, Summary]) -> str:
    lines = [
        f"- What lies above {rate // 2} Hz is left out.",
        "- Echo, clipping and other voices are not noise to it, unless a recipe mixed them in.",
    ]
    for recipe, one in told.items():
        own = one["systems"].get(one["ours"])
        if own:
            lines += [f"- {recipe}: {line}" for line in _harm(one, own)]
    return "## Limits\n\n" + "\n".join(lines)


def _harm(one: Summary, own: Summary) -> list[str]:
    """What it was measured to make worse."""
    unit = " dB" if one["unit"] == "dB" else ""
    lines = []
    clean, worst = own["clean"], own["worst"]
    if clean["median"] is not None:
        lines.append(
            f"clean input comes out at an SI-SDR of {clean['median']:.1f} dB (median), "
            f"{clean['worst']:.1f} dB at worst."
        )
    if worst["mean"] is not None:
        lines.append(f"the worst 5 % of the mixtures gain {worst['mean']:+.1f} dB on average.")
    losing = [
        f"{kind} at {level}{unit} ({cell['gain']:+.1f} dB)"
        for kind, found in own["kinds"].items()
        for level, cell in found["levels"].items()
        if cell["gain"] is not None and round(cell["gain"], 1) < 0
    ]
    if losing:
        lines.append(f"worse than doing nothing: {', '.join(losing)}.")
    behind = [
        "doing nothing" if name == INPUT else name
        for name, gap in one["ahead"].items()
        if gap["gain"]["mean"] is not None and gap["gain"]["mean"] < 0
    ]
    if behind:
        lines.append(f"more SI-SDR on average comes of: {', '.join(behind)}.")
    return lines
