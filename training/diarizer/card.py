"""The card of a trained diarizer: what it is, how to use it, what it was measured to get wrong.

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
from training.diarizer.summary import Summary
from training.diarizer.table import table

HEARD = "-heard"  # of a recipe whose test split stands, with its sound, beside it

SNIPPET = """\
```python
import onnxruntime
import soundfile

wave, rate = soundfile.read("talk.wav", dtype="float32", always_2d=True)
assert rate == {rate}, "resample it first"
model = onnxruntime.InferenceSession("model.onnx")
(speaking,) = model.run(None, {{"wave": wave.mean(axis=1)[None]}})  # a minute at most
print((speaking[0] > 0.5).sum(axis=0) * {frame}, "s of each speaker")
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
    config = facts["config"]
    heard = {
        recipe.removesuffix(HEARD): f"{one['recordings']} recordings, {one['seconds'] / 60:.0f} min"
        for recipe, one in told.items()
    }
    parts = [
        _about(config, told, name),
        _use(config, name, exports),
        f"## Data\n\n{data_grid(facts, heard, counts or {})}\n\n"
        "No speaker of the test split is in the others: the network has never heard them.",
        configuration({key: value for key, value in config.items() if key != "heard"}),
        measured({recipe: table(one) for recipe, one in told.items()}),
        _limits(config, told),
        versions(facts, name, day or datetime.date.today().isoformat()),
    ]
    return "\n\n".join(parts) + "\n"


def frame_of(config: Facts) -> float:
    """Seconds."""
    return float(
        config["shorter"] * config["heard"]["feature"]["hop"] / config["heard"]["audio"]["rate"]
    )


def _about(config: Facts, told: Mapping[str, Summary], name: str) -> str:
    frame = f"{1000 * frame_of(config):.0f} ms"
    text = (
        f"# Diarizer `{name}`\n\n"
        f"Says who speaks when in recordings of any length, with up to {config['speakers']} "
        f"speakers a minute and {config['overlap']} at once, by conformer blocks "
        f"({config['blocks']} of width {config['width']}) over frames of {frame}."
    )
    for one in told.values():
        own = one["systems"].get(one["ours"])
        if own and own["parameters"]:
            speed = f"; a second of sound takes one core {own['rtf']:.4f} s" if own["rtf"] else ""
            return f"{text} {own['parameters'] / 1e6:.3g} M parameters{speed}."
    return text


def _use(config: Facts, name: str, exports: Facts | None) -> str:
    text = (
        "## Use\n\n"
        f"    make diarize RUN={name} IN=talk.wav OUT=talk.rttm\n\n"
        "takes a file or a folder, of any rate, length and number of channels.\n\n"
    )
    text += torch_files(name, exports)
    if exports and exports["exports"]:
        text += "\n\nThe difference is of a probability, to the network itself."
    if has_onnx(exports):
        snippet = SNIPPET.format(rate=config["heard"]["audio"]["rate"], frame=frame_of(config))
        text += (
            " They answer for one window; a longer recording is cut and stitched by `make diarize`."
            f" Without this project, with onnxruntime:\n\n{snippet}"
        )
    return text


def _limits(config: Facts, told: Mapping[str, Summary]) -> str:
    lines = [
        f"- More than {config['speakers']} speakers within a minute, or {config['overlap']} at "
        "once, cannot be told.",
        "- Names are numbers: it does not know who anybody is, nor one recording from another.",
        f"- A turn is known to {1000 * frame_of(config):.0f} ms.",
    ]
    for recipe, one in told.items():
        own = one["systems"].get(one["ours"])
        if not own:
            continue
        behind = [
            f"{other} ({100 * gap['mean']:+.1f})"
            for other, gap in one["ahead"].items()
            if gap["mean"] is not None and gap["mean"] < 0
        ]
        if behind:
            lines.append(f"- {recipe}: behind {', '.join(behind)}, points of DER.")
        if own["counted"] < 1:
            right = f"{100 * own['counted']:.0f} % of the recordings"
            lines.append(f"- {recipe}: the number of speakers is right in {right}.")
    return "## Limits\n\n" + "\n".join(lines)
