"""Fields: what they accept, what they refuse, and how they say so. Reads and writes nothing."""

import json

import numpy as np
import pytest

from pipeline.errors import MelmillError
from pipeline.formats.fields import Field, check, first_not_finite

MEL = Field("mel", "float32", (3, 2), "power", ("frames", "mels"))
SPEAKER = Field("speaker", "bytes4", (), "", ())


def arrays(count: int = 5) -> dict[str, np.ndarray]:
    return {
        "mel": np.arange(count * 6, dtype=np.float32).reshape(count, 3, 2),
        "speaker": np.full(count, b"ab", dtype="S4"),
    }


@pytest.mark.parametrize("field", [MEL, SPEAKER])
def test_json_round_trip(field: Field) -> None:
    assert Field.from_json(json.loads(json.dumps(field.to_json()))) == field


def test_sizes() -> None:
    assert (MEL.size, MEL.nbytes, MEL.numpy) == (6, 24, np.dtype("float32"))
    assert (SPEAKER.size, SPEAKER.nbytes, SPEAKER.numpy) == (1, 4, np.dtype("S4"))


@pytest.mark.parametrize(
    "change",
    [
        {"name": "../mel"}, {"name": ""}, {"name": "Mel"}, {"dtype": "float64"},
        {"dtype": "bytes0"}, {"axes": [1, 2]}, {"dtype": "object"},
        {"shape": [0, 2]}, {"shape": [-1, 2]}, {"shape": [True, 2]},
        {"shape": [3.0, 2]}, {"shape": "32"}, {"axes": ["frames"]}, {"unit": None}, {"extra": 1},
    ],
)  # fmt: skip
def test_bad_description_is_refused(change: dict) -> None:
    with pytest.raises(MelmillError):
        Field.from_json({**MEL.to_json(), **change})


def test_good_arrays_are_counted() -> None:
    assert check([MEL, SPEAKER], arrays(5)) == 5


@pytest.mark.parametrize(
    ("name", "make", "message"),
    [
        ("mel", lambda a: a.astype(np.float64), "mel': wrong type; expected float32; got float64"),
        ("mel", lambda a: a.astype(">f4"), "wrong type"),
        ("mel", lambda a: a[:, :, :1], r"mel': wrong shape; expected \(5, 3, 2\); got \(5, 3, 1\)"),
        ("speaker", lambda a: a[:4], r"'speaker': wrong shape; expected \(5,\); got \(4,\)"),
        ("speaker", lambda a: a.astype("S5"), "wrong type"),
        ("mel", lambda a: a[:0], "no examples"),
    ],
)  # fmt: skip
def test_bad_arrays_are_refused(name: str, make, message: str) -> None:
    data = arrays()
    data[name] = make(data[name])
    with pytest.raises(MelmillError, match=message):
        check([MEL, SPEAKER], data)


def test_missing_and_unknown_arrays_are_refused() -> None:
    with pytest.raises(MelmillError, match="differ"):
        check([MEL, SPEAKER], {"mel": arrays()["mel"]})
    with pytest.raises(MelmillError, match="differ"):
        check([MEL], arrays())


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [(0, 0, 0), (2, 299, 199), (4, 299, 199)])
def test_first_not_finite_value_is_named(dtype: type, value: float, place: tuple) -> None:
    data = np.zeros((5, 300, 200), dtype=dtype)
    assert first_not_finite(data) is None
    data[place] = value
    data[4, 299, 199] = value
    assert first_not_finite(data) == place
    field = Field("mel", np.dtype(dtype).name, (300, 200), "power", ("frames", "mels"))
    with pytest.raises(MelmillError, match=rf"'mel': not finite at index \({place[0]}, "):
        check([field], {"mel": data})
