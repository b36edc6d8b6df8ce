"""Which fields a recipe stores.

Reads and writes nothing. Does: turns a recipe (and the classes or tags of the data) into the
description of every stored array: name, type, shape of one example, unit, axes.
"""

from pipeline.dsp import features
from pipeline.dsp.mel import MelSpec
from pipeline.formats.fields import Field
from pipeline.recipe import Feature, Recipe

LOG_UNITS = {
    "none": "power",
    "db": "dB",
    "log10_1p": "log10(1 + c power)",
    "ln": "ln(power + eps)",
}


def mel_spec(feature: Feature, recipe: Recipe) -> MelSpec:
    """The kernel's parameters. Frames of a recording are cut from it with their neighbours."""
    return MelSpec(
        rate=recipe.audio.rate,
        n_fft=feature.n_fft,
        hop=feature.hop,
        mels=feature.mels,
        fmin=feature.fmin,
        fmax=feature.fmax or None,
        win=feature.win or None,
        scale=feature.scale,
        norm=feature.norm,
        center=recipe.window.edges == "window",
    )


def vector_spec(feature: Feature, recipe: Recipe) -> features.VectorSpec:
    return features.VectorSpec(
        rate=recipe.audio.rate,
        n_fft=feature.n_fft,
        hop=feature.hop,
        mels=feature.mels,
        mfcc=feature.count,
    )


def frames(feature: Feature, recipe: Recipe) -> int:
    """Spectral frames in one example."""
    whole = recipe.window.samples // feature.hop
    return whole + 1 if recipe.window.edges == "window" else whole


def variants(recipe: Recipe) -> int:
    """Examples made of one window."""
    if recipe.conversation:  # each has one of the values
        return 1
    return len(recipe.mix.values) if recipe.mix and recipe.mix.materialise else 1


def fields(recipe: Recipe, tags: int) -> list[Field]:
    """The stored arrays in their order: the recipe's own, then what is known of each example."""
    found = [_field(name, recipe, tags) for name in recipe.output.fields]
    found += [
        Field("source", "bytes32", (), "first half of the file's sha256, hex", ()),
        Field("group", "int64", (), "hash of the speaker, source or artist", ()),
        Field("fold", "int32", (), "official fold; -1 is none", ()),
        Field("start", "int64", (), "samples into the recording", ()),
        Field("valid", "int32", (), "samples of the window that are recorded, not padded", ()),
    ]
    if recipe.mix:
        found += mix_fields(recipe)
    return found


def _field(name: str, recipe: Recipe, tags: int) -> Field:
    window = (recipe.window.samples,)
    if name in ("wave", "clean", "noisy"):
        return Field(name, "float32", window, "full scale is 1", ("sample",))
    if name == "label":
        return Field(name, "int32", (), "index into classes", ())
    if name == "tags":
        return Field(name, "uint8", (tags,), "1 where the tag applies", ("tag",))
    if name == "activity":
        shape = (recipe.window.samples // recipe.labels.frame, recipe.labels.speakers)
        return Field(name, "uint8", shape, "1 while the speaker talks", ("frame", "speaker"))
    if name == "voices":
        told = "hash of the voice of each column; 0 is nobody"
        return Field(name, "int64", (recipe.labels.speakers,), told, ("speaker",))
    if name == "generated":
        return Field(name, "uint8", (), "1 where the labels were guessed, not given", ())
    feature = recipe.features[name]
    if feature.kind == "vector":
        count = len(features.names(vector_spec(feature, recipe)))
        return Field(name, "float32", (count,), "see names", ("feature",))
    if feature.kind == "mfcc":
        shape = (frames(feature, recipe), feature.count)
        return Field(name, "float32", shape, "dB, DCT-II", ("frame", "coefficient"))
    shape = (frames(feature, recipe), feature.mels)
    return Field(name, "float32", shape, LOG_UNITS[feature.log], ("frame", "mel"))


def mix_fields(recipe: Recipe) -> list[Field]:
    """What was mixed. When the loader mixes, one example carries the plan of all its mixtures."""
    assert recipe.mix is not None
    many = not recipe.mix.materialise
    shape = (len(recipe.mix.values),) if many else ()
    axes = ("mixture",) if many else ()
    unit = "dB" if recipe.mix.kind == "snr" else "standard deviation, full scale is 1"
    return [
        Field("noise_kind", "int32", shape, "index into noises", axes),
        Field("noise_source", "bytes32", shape, "id of the noise track", axes),
        Field("noise_start", "int64", shape, "samples into the noise track", axes),
        Field("requested", "float32", shape, unit, axes),
        Field("achieved", "float32", shape, f"{unit}, measured in the stored samples", axes),
        Field("scale", "float32", shape, "factor on the noise track, before gain", axes),
        Field("gain", "float32", shape, "factor on clean and noise alike", axes),
    ]


def names(recipe: Recipe) -> dict[str, list[str]]:
    """What the numbers of a handcrafted vector are."""
    return {
        name: list(features.names(vector_spec(feature, recipe)))
        for name, feature in recipe.features.items()
        if feature.kind == "vector" and name in recipe.output.fields
    }
