"""TensorFlow Lite files: every layer nets are built of converts, and parts join without a loss.

Reads and writes nothing.
"""

import os
import sys
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

import keras  # noqa: E402
from keras import layers  # noqa: E402
from tensorflow.lite.tools import flatbuffer_utils  # noqa: E402

from training.errors import RunError  # noqa: E402
from training.graph.lite import chain, lite_bytes, load_lite, quiet  # noqa: E402

SHAPE = (12, 10, 4)
Layer = Callable[[Any], Any]


def squeezed(x: Any) -> Any:
    gate = layers.GlobalAveragePooling2D(keepdims=True)(x)
    gate = layers.Conv2D(x.shape[-1], 1, activation="hard_sigmoid")(gate)
    return layers.Multiply()([x, gate])


def pooled(x: Any) -> Any:
    x = layers.ReLU()(x)  # 8 bits would cut off what the maxima are never below
    both = layers.GlobalMaxPooling2D()(x), layers.GlobalAveragePooling2D()(x)
    return layers.Dense(3)(layers.Dropout(0.5)(layers.Concatenate()(both)))


BLOCKS: dict[str, Layer] = {
    "convolution, strided": layers.Conv2D(6, 3, strides=2, padding="same", use_bias=False),
    "depthwise": layers.DepthwiseConv2D(5, padding="same", depthwise_initializer="he_normal"),
    "batch normalisation": lambda x: layers.BatchNormalization()(layers.Conv2D(6, 3)(x)),
    "hard swish": layers.Activation("hard_silu"),
    "swish": layers.Activation("silu"),
    "relu": layers.ReLU(),
    "relu 6": layers.ReLU(6.0),
    "squeeze and excite": squeezed,
    "residual": lambda x: layers.Add()([x, layers.Conv2D(4, 3, padding="same")(x)]),
    "average pooling": layers.AveragePooling2D(2),
    "normalisation": layers.Normalization(mean=[0.0] * 4, variance=[0.5, 1.0, 2.0, 4.0]),
    "head": pooled,
}


def numbers(*shape: int) -> np.ndarray:
    return np.random.default_rng(2).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("name", BLOCKS)
def test_what_nets_are_built_of_converts(name: str) -> None:
    keras.utils.set_random_seed(1)
    inputs = keras.Input(SHAPE)
    net = keras.Model(inputs, BLOCKS[name](inputs))
    clips = numbers(40, *SHAPE)

    def ask(x: Any) -> Any:
        return net(x, training=False)

    expected = ask(clips).numpy()
    assert np.abs(load_lite(lite_bytes(ask, {"x": SHAPE}))(clips) - expected).max() < 1e-5
    small = lite_bytes(ask, {"x": SHAPE}, (clips,))
    assert np.abs(load_lite(small)(clips) - expected).max() < 0.05 * np.abs(expected).max()
    graph = flatbuffer_utils.read_model_from_bytearray(bytearray(small)).subgraphs[0]
    floats = [tensor for tensor in graph.tensors if tensor.type == 0]
    assert len(floats) == 2  # what goes in and what comes out


def test_parts_joined_run_in_turn() -> None:
    """An 8-bit part between float ones stays what it was, and nothing around it loses a digit."""
    weights = numbers(5, 3)
    first = lite_bytes(lambda x: tf.exp(4 * x), {"wave": (5,)})  # a range that 8 bits would lose
    middle = lite_bytes(lambda x: tf.matmul(tf.math.log(x), weights), {"features": (5,)})
    last = lite_bytes(tf.nn.softmax, {"logits": (3,)})
    clips = numbers(20, 5)
    found = load_lite(chain([first, middle, last], "probabilities"))(clips)
    assert np.abs(found - tf.nn.softmax(4 * clips @ weights).numpy()).max() < 1e-5

    small = lite_bytes(lambda x: tf.matmul(x, weights), {"features": (5,)}, (clips,))
    joined = load_lite(chain([lite_bytes(lambda x: x / 7, {"a": (5,)}), small, last], "b"))
    apart = load_lite(small)(np.float32(7 * clips) / 7)
    assert np.abs(joined(7 * clips) - tf.nn.softmax(apart).numpy()).max() < 1e-6


def test_a_joined_file_says_what_it_takes_and_gives() -> None:
    wave, features = {"wave": (4,)}, {"features": (4,)}
    parts = [lite_bytes(lambda x: 2 * x, wave), lite_bytes(lambda x: x + 1, features)]
    data = chain(parts, "probabilities")
    with quiet():
        interpreter = tf.lite.Interpreter(model_content=data, num_threads=1)
    told = {"inputs": ["wave"], "outputs": ["probabilities"]}
    assert interpreter.get_signature_list() == {"serving_default": told}
    found = interpreter.get_signature_runner()(wave=numbers(1, 4))
    assert np.abs(found["probabilities"] - (2 * numbers(1, 4) + 1)).max() < 1e-6
    assert data == chain(parts, "probabilities")


def test_a_part_may_hear_what_the_file_is_given_beside_what_the_part_before_gives() -> None:
    first = lite_bytes(lambda wave: tf.reduce_max(wave, 1, keepdims=True), {"wave": (6,)})
    second = lite_bytes(
        lambda wave, most: tf.reduce_sum(wave, 1, keepdims=True) - 10 * most,
        {"wave": (6,), "most": (1,)},
    )
    last = lite_bytes(lambda x: 3 * x, {"x": (1,)})
    clips = numbers(8, 6)
    found = load_lite(chain([first, second, last], "found"))(clips)
    assert np.abs(found[:, 0] - 3 * (clips.sum(1) - 10 * clips.max(1))).max() < 1e-4


def test_a_file_of_two_inputs_takes_them_in_their_order() -> None:
    sizes = {"wave": (6,), "vector": (2,)}
    examples = (numbers(30, 6), numbers(30, 2))
    ask = lambda wave, vector: tf.concat([wave, 5 * vector], 1)  # noqa: E731
    wanted = np.concatenate([examples[0], 5 * examples[1]], 1)
    assert np.abs(load_lite(lite_bytes(ask, sizes))(*examples) - wanted).max() < 1e-5
    assert np.abs(load_lite(lite_bytes(ask, sizes, examples))(*examples) - wanted).max() < 0.2


def test_parts_that_do_not_fit_are_refused() -> None:
    parts = [lite_bytes(tf.nn.softmax, {name: (size,)}) for name, size in (("a", 4), ("b", 5))]
    with pytest.raises(ValueError, match=r"parts do not fit: \[1, 4\] then \[1, 5\]"):
        chain(parts, "c")


def test_what_it_has_no_operation_for_is_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RunError, match="cannot hold the net; got Digamma. Build the net of"):
        lite_bytes(tf.math.digamma, {"x": (4,)})
    assert "Details:" in capfd.readouterr().err  # the converter's own words are not lost


def test_nothing_is_said_while_all_goes_well(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_lite(lite_bytes(tf.nn.softmax, {"x": (4,)}, (numbers(3, 4),)))(numbers(1, 4))
    assert capfd.readouterr() == ("", "")
    assert not caplog.records
    with quiet():
        os.write(2, b"lost")
        print("lost too", file=sys.__stderr__, flush=True)
    os.write(2, b"heard")
    assert capfd.readouterr().err == "heard"
