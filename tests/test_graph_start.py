"""Weights to begin with: from our checkpoints and from Keras' files, taken whole or refused.

Reads nothing but what it writes into pytest's folders.
"""

import contextlib
import hashlib
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

import keras  # noqa: E402
from keras.src.legacy.saving import legacy_h5_format  # noqa: E402

from training.classifier.backbones import make_net  # noqa: E402
from training.durable import hash_of  # noqa: E402
from training.engine.checkpoint import Checkpoints, pack  # noqa: E402
from training.engine.keras_learner import Learner, Steps, variables  # noqa: E402
from training.engine.settings import Settings  # noqa: E402
from training.errors import Changed, Damaged, RunError  # noqa: E402
from training.graph import blocks, start  # noqa: E402
from training.graph.start import begun  # noqa: E402

MAKE = {
    "mobilenetv3": keras.applications.MobileNetV3Large,
    "efficientnetv2-b0": keras.applications.EfficientNetV2B0,
}
SHAPE = (64, 40)
Layers = dict[str, dict[str, np.ndarray]]  # layer -> weight -> values


def toy(classes: int = 3, seed: int = 0, channels: int = 4, mean: float = 0.0) -> keras.Model:
    """A body of one convolution."""
    keras.utils.set_random_seed(seed)
    given = keras.Input((8, 6))
    x = blocks.normalised(given, [mean] * 6, [1.0] * 6)
    x = blocks.convolved(keras.layers.Reshape((8, 6, 1))(x), channels, 3, name="stem")
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(given, blocks.logits(x, classes, 0.2), name="mn_small")


def moved(net: keras.Model, seed: int = 1) -> keras.Model:
    """The same net with no number as it began."""
    rng = np.random.default_rng(seed)
    for v in net.variables:
        if "float" in v.dtype:
            low, high = (0.5, 1.5) if v.name in ("gamma", "moving_variance") else (-0.1, 0.1)
            scale = v.numpy().std() / 0.1 if v.name == "kernel" else 1.0
            v.assign(rng.uniform(low, high, v.shape) * scale)
        else:
            v.assign(rng.integers(1, 99, v.shape))
    return net


def held(net: keras.Model) -> dict[str, np.ndarray]:
    return {v.path: np.array(v.numpy()) for v in net.variables}


def taken(net: keras.Model, path: Path) -> str:
    return begun(net, str(path), hash_of(path))


def checkpoint(path: Path, net: keras.Model, **state: Any) -> Path:
    learner = {"model": variables(net), "ema": None, **state}
    path.write_bytes(b"".join(pack({"step": 3, "learner": learner})))
    return path


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return checkpoint(tmp_path / "step-000000003-best.ckpt", moved(toy()))


# ------------------------------------------------------------------ our checkpoints


def test_everything_learnt_is_taken_and_nothing_else(saved: Path) -> None:
    net = toy(seed=5, mean=2.0)
    before, x = held(net), np.ones((2, 8, 6), np.float32)
    told = taken(net, saved)
    theirs, now = held(moved(toy())), held(net)
    states = [name for name in now if "seed_generator" in name]
    assert len(states) == 1
    assert len(now) == 8
    for name, array in now.items():
        assert np.array_equal(array, (before if name in states else theirs)[name]), name
    assert told == f"begins with 7 arrays of {saved}, those of the last layer among them"
    # What it normalises with is its own.
    other = moved(toy(mean=-1.0))
    assert np.allclose(net(x + 3), other(x), atol=1e-6)
    assert not np.allclose(net(x), other(x), atol=1e-3)


def test_of_other_classes_the_last_layer_stays_fresh(saved: Path) -> None:
    net = toy(classes=5)
    before = held(net)
    told = taken(net, saved)
    assert told == (
        f"begins with 5 arrays of {saved}; its last layer has 3 answers: that of 5 is fresh"
    )
    theirs = held(moved(toy()))
    for name, array in held(net).items():
        own = name.startswith("logits") or "seed_generator" in name
        assert np.array_equal(array, (before if own else theirs)[name]), name


def test_the_average_is_what_a_run_hands_on(tmp_path: Path) -> None:
    settings = Settings(ema=0.5)
    net = moved(toy())
    steps = Steps(net, lambda *_: (0.0, {}), settings, 4)
    steps.compile(optimizer=keras.optimizers.AdamW(1e-3))
    for kept in steps.averages:
        kept.assign(kept + 1.0)
    alone: Any = None  # no ranks: no step is taken
    state = Learner(steps, settings, alone).state()
    path = Checkpoints(tmp_path).save(7, {"step": 7, "learner": state}, best=True)
    fresh = toy(seed=3)
    taken(fresh, path)
    assert np.allclose(held(fresh)["stem/kernel"], held(net)["stem/kernel"] + 1.0)


@pytest.mark.parametrize("name", ["mn-small", "cnn"])
def test_a_checkpoint_of_another_backbone_is_refused(tmp_path: Path, name: str) -> None:
    shape = (16, 8)
    kinds = ("mn-small", "cnn")
    one, two = (make_net(n, shape, 3, [0.0] * 8, [1.0] * 8) for n in (name, *set(kinds) - {name}))
    path, before = checkpoint(tmp_path / "x.ckpt", two), held(one)
    with pytest.raises(Changed) as said:
        taken(one, path)
    kernel = one.variables[0]
    assert f"{path} [{kernel.path}]: weights of another net" in str(said.value)
    assert f"expected {tuple(kernel.shape)}; got {two.variables[0].shape}" in str(said.value)
    assert f"a run of the net {name}" in str(said.value)
    assert all(
        np.array_equal(a, b) for a, b in zip(before.values(), held(one).values(), strict=True)
    )


def test_a_wider_net_and_a_longer_one_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Changed, match=r"stem/kernel.*\(3, 3, 1, 5\); got \(3, 3, 1, 4\)"):
        taken(toy(channels=5), checkpoint(tmp_path / "a.ckpt", toy()))
    more = variables(toy()) | {"0008 kernel": np.zeros(3, np.float32)}
    count = len(variables(toy()))
    said = rf"weights of another net; expected {count} arrays; got {count + 1}\. Name"
    with pytest.raises(Changed, match=said):
        taken(toy(), checkpoint(tmp_path / "b.ckpt", toy(), model=more))


def test_another_file_than_was_noted_is_refused(saved: Path) -> None:
    key = hash_of(saved)
    checkpoint(saved, moved(toy(), seed=2))
    net = toy()
    before = held(net)
    with pytest.raises(Changed, match="have changed since the run began.*sha256") as said:
        begun(net, str(saved), key)
    assert str(saved) in str(said.value)
    assert np.array_equal(before["stem/kernel"], held(net)["stem/kernel"])


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ({"run": "x", "data": "k", "classes": [], "logits": np.zeros(3)}, "no checkpoint of a net"),
        ([1, 2], "no checkpoint of a net"),
        ({"learner": {"model": [1], "ema": None}}, "no checkpoint of a net"),
        ({"learner": {"model": {"0000 kernel": 3}, "ema": None}}, "weights of another net"),
    ],
)
def test_what_is_no_checkpoint_of_a_net(tmp_path: Path, state: Any, said: str) -> None:
    path = tmp_path / "teacher.logits"
    path.write_bytes(b"".join(pack(state)))
    with pytest.raises(Changed, match=said):
        taken(toy(), path)


def test_a_damaged_checkpoint_is_refused(saved: Path) -> None:
    data = bytearray(saved.read_bytes())
    data[len(data) // 2] ^= 1
    saved.write_bytes(data)
    with pytest.raises(Damaged, match=r"damaged checkpoint"):
        taken(toy(), saved)


def test_weights_that_are_not_numbers_are_refused(tmp_path: Path) -> None:
    net = moved(toy())
    net.get_layer("stem_norm").moving_variance.assign([1.0, np.nan, 1.0, 1.0])
    with pytest.raises(Damaged, match=r"stem_norm/moving_variance.*not numbers"):
        taken(toy(), checkpoint(tmp_path / "x.ckpt", net))


def test_what_is_no_file_of_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.h5"
    with pytest.raises(RunError, match="No such file"):
        begun(toy(), str(path), "0" * 64)
    with pytest.raises(Changed, match="no file of weights.*got none"):
        begun(toy(), str(tmp_path), "0" * 64)
    for data in (b"", b"PK\x03\x04 a .keras file", b"\x80\x04 a pickle"):
        path.write_bytes(data)
        with pytest.raises(Changed, match="no file of weights; expected a checkpoint"):
            taken(toy(), path)
    monkeypatch.setattr(start, "LARGEST", 20)
    path.write_bytes(bytes(21))
    with pytest.raises(Changed, match="20 bytes at most; got 21 bytes"):
        taken(toy(), path)


# ------------------------------------------------------------------ Keras' files


def write(path: Path, layers: Mapping[str, Mapping[str, np.ndarray]], end: str = ":0") -> Path:
    """The layout of Keras' releases: names in attributes, a group for each layer."""
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = np.array([b"input_1", *(n.encode() for n in layers)], "S")
        file.create_group("input_1").attrs["weight_names"] = np.array([], "S1")
        for layer, weights in layers.items():
            group = file.create_group(layer)
            names = [f"{layer}/{weight}{end}" for weight in weights]
            group.attrs["weight_names"] = np.array([n.encode() for n in names], "S")
            for name, array in zip(names, weights.values(), strict=True):
                group.create_dataset(name, data=array)
    return path


def layers_of(net: keras.Model, named: Callable[[str], str] = str) -> Layers:
    found: Layers = {}
    for layer in net.layers:
        for v in layer.variables:
            if "float" in v.dtype:
                deep = isinstance(layer, keras.layers.DepthwiseConv2D)
                name = "depthwise_kernel" if deep else v.name
                found.setdefault(named(layer.name), {})[name] = v.numpy()
    return found


def spelled(name: str) -> str:
    """A layer of MobileNetV3 as TensorFlow 2.4 called it."""
    if not re.match(r"conv|expanded_conv", name):
        return name
    found = re.sub(r"_bn$", "/BatchNorm", name)
    found = re.sub(r"^conv", "Conv", found)
    found = re.sub(r"^(expanded_conv(?:_\d+)?)_", r"\1/", found)
    return re.sub(r"squeeze_excite_conv", "squeeze_excite/Conv", found)


@pytest.fixture(scope="module", params=MAKE)
def image(request: pytest.FixtureRequest) -> tuple[str, keras.Model, keras.Model]:
    """A name, Keras' net for pictures with three colours, and our net of that name."""
    keras.utils.set_random_seed(0)
    app = MAKE[request.param](
        weights=None, include_top=False, input_shape=(*SHAPE, 3), include_preprocessing=False
    )
    return request.param, moved(app), make_net(request.param, SHAPE, 3, [0.0] * 40, [1.0] * 40)


def test_names_of_then_are_those_of_now(image: tuple[str, keras.Model, keras.Model]) -> None:
    name, app, _ = image
    if name == "mobilenetv3":
        old = set(layers_of(app, spelled))
        assert {"Conv", "Conv/BatchNorm", "expanded_conv/depthwise", "Conv_1/BatchNorm",
                "expanded_conv_14/squeeze_excite/Conv_1", "expanded_conv_1/expand/BatchNorm",
                } <= old  # fmt: skip
        assert {start._layer(each) for each in old} == set(layers_of(app))


@pytest.mark.parametrize("kind", ["as released", "as Keras 3 writes it"])
def test_a_net_for_pictures_hears_what_it_saw(
    image: tuple[str, keras.Model, keras.Model], tmp_path: Path, kind: str
) -> None:
    """A picture of three equal colours, and the same without colours, in the body's eyes."""
    name, app, net = image
    path = tmp_path / f"{name}_notop.h5"
    if kind == "as released":
        write(path, layers_of(app, spelled))
    else:
        with h5py.File(path, "w") as file:
            legacy_h5_format.save_weights_to_hdf5_group(file, app)
    body = keras.Model(net.input, net.get_layer("mean").output)
    for v in net.variables:
        v.assign(np.zeros(v.shape, v.dtype))  # nothing of it may stay
    logits = net.get_layer("logits").kernel
    logits.assign(np.ones(logits.shape))
    told = taken(net, path)
    count = sum(map(len, layers_of(app).values()))
    assert told == f"begins with {count} arrays of {path}; the last layer is fresh"
    assert np.all(logits.numpy() == 1)
    ours, theirs = ({v.path: v.numpy() for v in one.variables} for one in (net, app))
    stem = next(iter(theirs))
    assert ours[stem].shape == (3, 3, 1, theirs[stem].shape[-1])
    exact = [path for path in theirs if "seed_generator" not in path and path != stem]
    assert all(np.array_equal(ours[path], theirs[path]) for path in exact)
    x = np.random.default_rng(0).standard_normal((2, *SHAPE)).astype(np.float32)
    wanted = app(np.repeat(x[..., None], 3, -1), training=False).numpy().mean((1, 2))
    assert wanted.std() > 1e-3
    np.testing.assert_allclose(body(x, training=False), wanted, atol=1e-4 * np.abs(wanted).max())


def whole(channels: int = 3) -> Layers:
    """What `toy` wants of a file."""
    rng = np.random.default_rng(4)
    norm = {n: rng.uniform(0.5, 1, 4).astype(np.float32)
            for n in ("gamma", "beta", "moving_mean", "moving_variance")}  # fmt: skip
    kernel = rng.standard_normal((3, 3, channels, 4)).astype(np.float32)
    return {"stem": {"kernel": kernel}, "stem_norm": norm, "logits": {"kernel": np.ones((4, 3))}}


@pytest.mark.parametrize("channels", [3, 1])
def test_the_first_kernel_is_summed_over_colours_where_it_has_them(
    tmp_path: Path, channels: int
) -> None:
    net, layers = toy(), whole(channels)
    last = held(net)["logits/kernel"]
    taken(net, write(tmp_path / "x.h5", layers))
    kernel = layers["stem"]["kernel"]
    by_hand = sum(kernel[:, :, c : c + 1] for c in range(channels))
    np.testing.assert_allclose(held(net)["stem/kernel"], by_hand, rtol=1e-6)
    assert np.array_equal(held(net)["stem_norm/moving_mean"], layers["stem_norm"]["moving_mean"])
    assert np.array_equal(held(net)["logits/kernel"], last)


def without(layers: Layers, layer: str, weight: str = "") -> Layers:
    found = {k: dict(v) for k, v in layers.items()}
    if weight:
        del found[layer][weight]
    else:
        del found[layer]
    return found


@pytest.mark.parametrize(
    ("layers", "said"),
    [
        (without(whole(), "stem_norm"), r"\[stem_norm/gamma\].*expected \(4,\); got no such layer"),
        (without(whole(), "stem_norm", "moving_mean"),
         r"\[stem_norm/moving_mean\].*got no such weight"),
        (whole(2), r"\[stem/kernel\].*expected \(3, 3, 1, 4\); got \(3, 3, 2, 4\)"),
        (whole() | {"stem": {"kernel": np.zeros((3, 3, 3, 5), "f4")}}, r"got \(3, 3, 3, 5\)"),
        (whole() | {"stem": {"kernel": np.zeros((3, 3, 3, 4), "i4")}}, "wrong type.*got int32"),
    ],
)  # fmt: skip
def test_the_first_weight_that_is_not_there_is_named(
    tmp_path: Path, layers: Layers, said: str
) -> None:
    net = toy()
    before = held(net)
    with pytest.raises(Changed, match=said):
        taken(net, write(tmp_path / "x.h5", layers))
    assert all(np.array_equal(before[name], array) for name, array in held(net).items())


STEM = "stem/kernel:0"


def linked(file: h5py.File, path: Path) -> None:
    file["other"] = np.ones((3, 3, 1, 4), np.float32)
    file["stem"][STEM] = h5py.SoftLink("/other")


def elsewhere(file: h5py.File, path: Path) -> None:
    file["stem"][STEM] = h5py.ExternalLink(str(path), "/stem/" + STEM)


def elsewhere_whole(file: h5py.File, path: Path) -> None:
    del file["stem"]
    file["stem"] = h5py.ExternalLink(str(path), "/stem")


def external(file: h5py.File, path: Path) -> None:
    outside = [(str(path), 0, h5py.h5f.UNLIMITED)]
    file["stem"].create_dataset(STEM, (3, 3, 1, 4), "f4", external=outside)


def virtual(file: h5py.File, path: Path) -> None:
    layout = h5py.VirtualLayout((3, 3, 1, 4), "f4")
    layout[:] = h5py.VirtualSource(str(path), "stem/" + STEM, (3, 3, 1, 4))
    file["stem"].create_virtual_dataset(STEM, layout)


def packed(file: h5py.File, path: Path) -> None:
    file["stem"].create_dataset(STEM, data=np.zeros((3, 3, 1, 4), "f4"), compression="gzip")


def unwritten(file: h5py.File, path: Path) -> None:
    """Declared, and nowhere."""
    file["stem"].create_dataset(STEM, (3, 3, 1, 4), "f4")


def group(file: h5py.File, path: Path) -> None:
    file["stem"].create_group(STEM)


def huge(file: h5py.File, path: Path) -> None:
    file["stem"].create_dataset(STEM, (1 << 20, 1 << 20, 1, 4), "f4", fillvalue=1.0)


def many_names(file: h5py.File, path: Path) -> None:
    file["stem"].attrs["weight_names"] = np.array([b"x" * 100] * 600, "S")


def no_names(file: h5py.File, path: Path) -> None:
    del file.attrs["layer_names"]


@pytest.mark.parametrize(
    ("change", "said"),
    [(linked, "a link"), (elsewhere, "a link"), (elsewhere_whole, "a link"),
     (external, "not one plain array"), (virtual, "not one plain array"),
     (packed, "not one plain array"), (unwritten, "not one plain array"), (group, "no dataset"),
     (huge, r"got \(1048576, 1048576, 1, 4\)"), (no_names, "layer_names; got none"),
     (many_names, "too many names")],
)  # fmt: skip
def test_nothing_but_plain_arrays_of_the_file_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    change: Callable[[h5py.File, Path], None], said: str,
) -> None:  # fmt: skip
    other = write(tmp_path / "other.h5", whole(1))
    path = write(tmp_path / "x.h5", whole(1))
    taken(toy(), path)
    if change is many_names:
        monkeypatch.setattr(start, "NAMES", 50_000)
    with h5py.File(path, "r+") as file:
        del file["stem"][STEM]
        change(file, other)
    with pytest.raises(Changed, match=said):
        taken(toy(), path)


def test_hdf5_files_cut_or_flipped_never_pass_unseen(tmp_path: Path) -> None:
    """What was hashed is what is read; what cannot be read is one line."""
    data = write(tmp_path / "x.h5", whole(1)).read_bytes()
    path = tmp_path / "y.h5"
    net = toy()
    for cut in range(8, len(data), len(data) // 40):
        path.write_bytes(data[:cut])
        with pytest.raises((Damaged, Changed)):
            taken(net, path)
    rng = np.random.default_rng(0)
    for at in rng.integers(8, len(data), 60):
        bad = bytearray(data)
        bad[at] ^= 255
        path.write_bytes(bad)
        with contextlib.suppress(RunError):  # any other error is a fault
            taken(net, path)
        with pytest.raises(Changed):
            begun(net, str(path), hashlib.sha256(data).hexdigest())
