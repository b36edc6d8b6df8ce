"""The card of a trained noise classifier.

Reads and writes nothing: it is given what a run holds and returns Markdown.
"""

from collections.abc import Mapping

from training.cards import Facts
from training.classes import card as shared
from training.classes.summary import Summary

ABOUT = {
    "cnn": "a plain convolutional net",
    "cnn-small": "a plain convolutional net, narrow enough for a small device",
    "mn": "a net of inverted residuals with squeeze and excitation, as MobileNetV3 has them",
    "mn-small": "a net of inverted residuals, narrow enough for a small device",
    "mobilenetv3": "Keras' MobileNetV3 Large",
    "efficientnetv2-b0": "Keras' EfficientNetV2-B0",
}


def card(
    facts: Facts,
    told: Mapping[str, Summary],
    name: str,
    exports: Facts | None = None,
    counts: Mapping[str, Facts] | None = None,
    day: str = "",
) -> str:
    """`MODEL.md` of the run `name`."""
    config = facts["config"]
    rate = config["heard"]["audio"]["rate"]
    seconds = config["heard"]["window"]["samples"] / rate
    about = (
        f"# Noise classifier `{name}`\n\n"
        f"Says which of {len(config['classes'])} kinds of sound a recording is: "
        f"`{config['backbone']}`, {ABOUT[config['backbone']]}. It hears {seconds:.1f} s at "
        f"{rate} Hz at a time, as log-mel spectra.{shared.costs(told)}\n\n"
        f"Classes: {', '.join(config['classes'])}."
    )
    return shared.card(about, facts, told, name, exports, counts or {}, day)
