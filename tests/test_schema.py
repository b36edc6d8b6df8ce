"""The stored fields: what each recipe promises is what examples hold.

Reads the shipped recipes. Writes nothing.
"""

from dataclasses import replace

import numpy as np
import pytest

from pipeline import cookbook, schema
from pipeline.dsp import features
from pipeline.formats.fields import Field
from pipeline.recipe import Recipe

SHIPPED = {r.name: r for r in cookbook.load([])}
KNOWN = ["source", "group", "fold", "start", "valid"]
MIXED = ["noise_kind", "noise_source", "noise_start", "requested", "achieved", "scale", "gain"]


def fields(name: str, tags: int = 50) -> dict[str, Field]:
    return {f.name: f for f in schema.fields(SHIPPED[name], tags)}


@pytest.mark.parametrize("name", list(SHIPPED))
def test_own_fields_come_first_then_what_is_known(name: str) -> None:
    wanted = [*SHIPPED[name].output.fields, *KNOWN, *(MIXED if SHIPPED[name].mix else [])]
    assert list(fields(name)) == wanted
    assert all(f.unit or not f.shape for f in fields(name).values())


@pytest.mark.parametrize(
    ("name", "field", "dtype", "shape"),
    [
        ("noise-classifier", "logmel", "float32", (130, 128)),  # 1 + 66048 // 512
        ("musicnn", "logmel", "float32", (187, 96)),  # the published patch
        ("musicnn-2048", "logmel", "float32", (94, 96)),
        ("musicnn", "tags", "uint8", (50,)),
        ("hybrid", "wave", "float32", (66048,)),
        ("diarization", "logmel", "float32", (6000, 40)),
        ("diarization", "activity", "uint8", (6000, 4)),
        ("conversations", "logmel", "float32", (6000, 40)),
        ("conversations", "activity", "uint8", (6000, 4)),
        ("conversations", "voices", "int64", (4,)),
        ("conversations", "achieved", "float32", ()),
        ("conversations-heard", "wave", "float32", (960000,)),
        ("denoise-speech", "noisy", "float32", (44096,)),
        ("denoise-speech", "achieved", "float32", ()),
        ("denoise-speech", "noise_source", "bytes32", ()),
    ],
)
def test_shapes_of_the_shipped_recipes(
    name: str, field: str, dtype: str, shape: tuple[int, ...]
) -> None:
    found = fields(name)[field]
    assert (found.dtype, found.shape) == (dtype, shape)


def test_a_vector_has_a_name_for_each_number() -> None:
    (count,) = fields("hybrid")["vector"].shape
    (names,) = schema.names(SHIPPED["hybrid"]).values()
    assert len(names) == len(set(names)) == count
    spec = schema.vector_spec(SHIPPED["hybrid"].features["vector"], SHIPPED["hybrid"])
    assert features.vector(np.zeros(66048, np.float32), spec).shape == (count,)


def test_mixtures_are_examples_of_their_own_or_one_plan() -> None:
    made = SHIPPED["denoise-speech-snr"]
    assert made.mix is not None
    loaded = replace(
        made,
        mix=replace(made.mix, materialise=False),
        output=replace(made.output, fields=("clean",)),
    )
    assert (schema.variants(made), schema.variants(loaded)) == (5, 1)
    plan = {f.name: f.shape for f in schema.fields(loaded, 1)}
    assert all(plan[name] == (5,) for name in MIXED)
    assert plan["start"] == ()
    assert schema.variants(SHIPPED["hybrid"]) == 1


def test_units_follow_the_mixture_and_the_logarithm() -> None:
    assert fields("denoise-speech-snr")["requested"].unit == "dB"
    assert "deviation" in fields("denoise-speech")["requested"].unit
    units = {n: fields(n)["logmel"].unit for n in ("noise-classifier", "musicnn")}
    assert units == {"noise-classifier": "dB", "musicnn": "log10(1 + c power)"}


def _with(name: str, **changes: object) -> Recipe:
    base = SHIPPED[name]
    return replace(base, features={k: replace(f, **changes) for k, f in base.features.items()})


def test_mfcc_stores_its_coefficients() -> None:
    found = schema.fields(_with("noise-classifier", kind="mfcc", count=13), 1)[0]
    assert (found.shape, found.axes) == ((130, 13), ("frame", "coefficient"))


def test_zero_means_the_default_for_the_kernel() -> None:
    spec = schema.mel_spec(SHIPPED["musicnn"].features["logmel"], SHIPPED["musicnn"])
    assert (spec.fmax, spec.win, spec.center) == (None, None, False)
    spec = schema.mel_spec(SHIPPED["diarization"].features["logmel"], SHIPPED["hybrid"])
    assert (spec.win, spec.center) == (400, True)
