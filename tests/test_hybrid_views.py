"""Several views of an example: what each piece is, that the answer is their mean, and that they are
made one after the other.

Reads and writes nothing.
"""

import functools
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import scipy.special

tf = pytest.importorskip("tensorflow")

import keras  # noqa: E402

from tests import hybrids  # noqa: E402
from tests.hybrids import NUMBERS, RATE, SAMPLES, Stub  # noqa: E402
from training.graph.vector import Vector  # noqa: E402
from training.hybrid import kind, net, views  # noqa: E402
from training.hybrid.views import VIEWS, Pieces, logits, plain  # noqa: E402

CLASSES = 3
PIECE = 3000  # samples: no beginning but the first and the last falls on a whole step of ten
BOTH = ("wave", "vector")
Net = Callable[..., Any]


@functools.cache
def front() -> Any:
    return Vector(hybrids.recipe(), "vector")


@pytest.fixture(scope="module")
def made() -> Any:
    """Random statistics, so that both branches have a say."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in hybrids.shrunk().items():
            patch.setattr(net, name, value)
        keras.utils.set_random_seed(0)
        stored = hybrids.vectors(waves(16))
        return net.make_net("hybrid-small", BOTH, CLASSES, stored.mean(0), stored.std(0))


def waves(count: int) -> np.ndarray:
    """(count, SAMPLES): tones that rise, over noise."""
    random, t = np.random.default_rng(0), np.arange(SAMPLES) / RATE
    rise = random.uniform(200, 20_000, (count, 1))
    tones = np.sin(2 * np.pi * (300 * t + rise * t**2)) * (0.1 + t)
    return (tones + 0.05 * random.normal(size=(count, SAMPLES))).astype(np.float32)


def alone(whole: Any, wave: np.ndarray) -> np.ndarray:
    """Probabilities for waves with the pipeline's vectors, by the whole net's first answer."""
    found = whole([tf.constant(wave), tf.constant(hybrids.vectors(wave))], training=False)
    return np.asarray(scipy.special.softmax(np.asarray(found[0], np.float64), -1))


# ---- one view ----------------------------------------------------------------------------------


def test_a_net_is_given_what_it_asks_for_in_its_own_order() -> None:
    batch = {"vector": tf.ones((2, 4)), "wave": tf.zeros((2, 9)), "label": tf.zeros(2)}
    for names in (BOTH, BOTH[::-1], ("wave",), ("vector",)):
        stub = Stub(names, lambda given: tf.zeros((2, CLASSES)))
        logits(stub, batch)
        (given,) = stub.seen
        assert stub.training is False
        assert list(given) == list(names)
        assert all(given[name] is batch[name] for name in names)


def test_of_several_answers_the_first_counts() -> None:
    told = np.random.default_rng(0).normal(0, 3, (3, 5, CLASSES)).astype(np.float32)
    for stub in (Stub(["wave"], lambda given: list(told)), Stub(["wave"], lambda given: told[0])):
        batch = {"wave": tf.zeros((5, 9))}
        assert np.array_equal(logits(stub, batch), told[0])
        found = plain(stub, batch)
        np.testing.assert_allclose(found, scipy.special.softmax(told[0], -1), rtol=1e-5)


# ---- several -----------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 10])
def test_the_answer_of_pieces_is_the_mean_of_their_answers(made: Any, count: int) -> None:
    x = waves(5)
    begins = np.floor(np.linspace(0, SAMPLES - PIECE, count)).astype(int)
    each = np.stack([alone(made, x[:, b : b + PIECE]) for b in begins])
    asked = tf.function(lambda wave: Pieces(front(), PIECE, count)(made, {"wave": wave}))
    found = asked(tf.constant(x))
    assert found.shape == (5, CLASSES)
    np.testing.assert_allclose(found, each.mean(0), atol=2e-5)
    if count > 1:
        assert np.abs(each - each.mean(0)).max() > 1e-3  # so that which ones they are is seen


def test_what_the_shards_have_as_a_vector_is_not_asked(made: Any) -> None:
    given = {"wave": tf.constant(waves(2))}
    one = Pieces(front(), PIECE, 2)(made, given)
    other = Pieces(front(), PIECE, 2)(made, given | {"vector": tf.fill((2, NUMBERS), 1e6)})
    assert np.array_equal(one, other)


def covered(samples: int, piece: int, count: int) -> np.ndarray:
    """How many pieces hear each sample: of a net that adds samples up, the gradient tells."""

    def answer(given: Mapping[str, Any]) -> Any:
        up = tf.reduce_sum(given["wave"], 1)
        return tf.stack([tf.zeros_like(up), up], 1)  # of silence, a quarter of each sample's change

    wave = tf.zeros((1, samples))
    with tf.GradientTape() as tape:
        tape.watch(wave)
        pieces = Pieces(lambda x: x[:, :1], piece, count)  # type: ignore[arg-type]
        found = pieces(Stub(BOTH, answer), {"wave": wave})[0, 1]
    told = np.asarray(tape.gradient(found, wave))[0] * 4 * count
    assert np.abs(told - told.round()).max() < 1e-3
    return np.asarray(told.round().astype(int))


@pytest.mark.parametrize("count", VIEWS)
@pytest.mark.parametrize("part", [0.5, views.PIECE, 1.0])
def test_pieces_go_from_the_begin_to_the_end(part: float, count: int) -> None:
    samples = 1800  # ten pieces begin whole samples apart, as far from the begin as from the end
    found = covered(samples, round(part * samples), count)
    assert found.sum() == count * round(part * samples)  # each is whole
    assert found.min() >= 1
    assert np.array_equal(found, found[::-1])
    assert found[0] == (1 if part < 1 else count)


def test_a_piece_alone_is_the_first() -> None:
    assert np.array_equal(covered(100, 60, 1), np.arange(100) < 60)


def test_the_front_end_hears_the_piece_that_the_net_hears() -> None:
    stub = Stub(BOTH, lambda given: tf.zeros((3, CLASSES)))
    Pieces(lambda x: 2 * x, 40, 10)(stub, {"wave": tf.random.normal((3, 100))})  # type: ignore[arg-type]
    assert len(stub.seen) == 10
    assert all(np.array_equal(one["vector"], 2 * one["wave"]) for one in stub.seen)


# ---- memory ------------------------------------------------------------------------------------


def graph(whole: Any, count: int) -> tuple[int, list[int], int]:
    """How many operations a graph of so many pieces has, how many turns of each of its loops may
    run at once, and how often a piece was traced."""
    traced: list[Any] = []

    def heard(wave: Any) -> Any:
        traced.append(wave)
        return front()(wave)

    asked = tf.function(lambda wave: Pieces(heard, PIECE, count)(whole, {"wave": wave}))  # type: ignore[arg-type]
    told = asked.get_concrete_function(tf.TensorSpec((None, SAMPLES))).graph.as_graph_def()
    nodes = [*told.node, *(node for f in told.library.function for node in f.node_def)]
    loops = [n.attr["parallel_iterations"].i for n in nodes if n.op.endswith("While")]
    return len(nodes), loops, len(traced)


def test_a_graph_of_many_pieces_makes_one_at_a_time(made: Any) -> None:
    """It is as large as that of two pieces: they cannot all be there at once."""
    few, many = graph(made, 2), graph(made, 10)
    assert few == many
    _, loops, traced = many
    assert traced <= 2  # the first one may stand before the loop
    assert loops
    assert set(loops) == {1}


# ---- which are asked for -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("augment", "samples"), [({"crop": 0.5}, 2048), ({"gain": 6.0}, 3072), (None, 3072)]
)
def test_pieces_are_as_long_as_what_the_net_learnt_from(
    augment: dict[str, float] | None, samples: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    questions = []

    def asked(index: None, part: None, names: Any, question: Any, at_once: int) -> Any:
        questions.append(question)
        return lambda whole: len(questions)

    monkeypatch.setattr(kind, "Asked", asked)
    config = {"augment": augment, "samples": SAMPLES, "heard": hybrids.recipe(), "variant": ""}
    whole: Any = SimpleNamespace(inputs=[SimpleNamespace(name=name) for name in BOTH])
    one: Any = SimpleNamespace(config=config, net=whole)
    found = kind.answers(one, None, None)  # type: ignore[arg-type]
    assert list(found) == ["", ", 2 views", ", 10 views"]
    first, *pieces = questions
    assert first is plain
    assert [(each.samples, each.count) for each in pieces] == [(samples, 2), (samples, 10)]
    config["variant"] = "unmixed"
    assert list(kind.answers(one, None, None)) == [""]  # type: ignore[arg-type]
