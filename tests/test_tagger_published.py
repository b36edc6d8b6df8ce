"""Published weights as runs of ours: answers of the published graph itself, and files taken on
trust in nothing.

Reads the package `musicnn`, where it is installed; runs its graph by TensorFlow's own means, and no
line of its Python. Writes runs, sounds and copies of the package into pytest's folders.
"""

import importlib.util
import json
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import pytest
import soundfile

tf = pytest.importorskip("tensorflow")
pytest.importorskip("matplotlib")

from tensorflow.core.protobuf import meta_graph_pb2  # noqa: E402

from pipeline.demo import music  # noqa: E402
from pipeline.rng import stream  # noqa: E402
from tests import commanded, here  # noqa: E402
from training.engine.checkpoint import Checkpoints, load, weights  # noqa: E402
from training.errors import Changed, Damaged, RunError  # noqa: E402
from training.graph.frontend import LogMel  # noqa: E402
from training.run import read_config, read_state  # noqa: E402
from training.tagger import published, use  # noqa: E402
from training.tagger import train as tagger  # noqa: E402
from training.tagger.profiles import profile_of  # noqa: E402
from training.tagger.published import EPSILON, HEARD, imported  # noqa: E402
from training.tagger.tag import Cut, tagged  # noqa: E402
from training.tagger.use import hearing  # noqa: E402

FOUND = importlib.util.find_spec("musicnn")
needs_package = pytest.mark.skipif(FOUND is None, reason="the package musicnn is not installed")
PACKAGE = Path(FOUND.origin).parent if FOUND and FOUND.origin else Path()
NAMES = ("MSD_musicnn", "MTT_musicnn")
# What make does once, and not again while its stamp stands.
ANEW = (
    f"Install it anew ({sys.executable} -m pip install --force-reinstall --no-deps -r "
    ".ci/musicnn.lock), then make import-musicnn"
)
KINDS = {"wav": "PCM_16", "flac": "PCM_16", "mp3": "MPEG_LAYER_III"}
SECONDS, RATE = 14.0, 22050


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The runs of the published weights; to be read only."""
    root = tmp_path_factory.mktemp("published") / "artifacts"
    return {folder.name: folder for folder in imported(root)}


@pytest.fixture(scope="module")
def songs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A piece of music with drums, bass and chords, in stereo, as files of three kinds."""
    folder = tmp_path_factory.mktemp("songs")
    clip = music.Clip("a", 140.0, "minor", "plucked", drums=True, bass=True, tonic=60)
    artist = music.make_artist(0, "a")
    sound = 0.7 * music.play(clip, artist, RATE, SECONDS, stream(0, "a song"))
    kinds = {kind: form for kind, form in KINDS.items() if kind.upper() in
             soundfile.available_formats()}  # fmt: skip
    for kind, form in kinds.items():
        soundfile.write(folder / f"song.{kind}", sound, RATE, form)
    return {kind: folder / f"song.{kind}" for kind in kinds}


# ---- the published graph -----------------------------------------------------------------------


class Graph:
    """A published net as TensorFlow 1 wrote it down: patches in, probabilities out."""

    def __init__(self, folder: Path) -> None:
        meta = meta_graph_pb2.MetaGraphDef()
        meta.ParseFromString((folder / ".meta").read_bytes())
        nodes = meta.graph_def.node
        (self.answer,) = [n.name for n in nodes if n.op == "Sigmoid"]
        kept = tf.compat.v1.graph_util.extract_sub_graph(meta.graph_def, [self.answer])
        for node in kept.node:
            node.attr.pop("_output_shapes", None)
            node.device = ""
            if node.op.startswith("Random"):  # of dropout, which is off: any seed, for another test
                node.attr["seed"].i = 1  # of this process may have asked for repeatable operations
        self.graph = tf.Graph()
        with self.graph.as_default():
            tf.import_graph_def(kept, name="")
        reader = tf.compat.v1.train.NewCheckpointReader(f"{folder}/")
        names = [n.name for n in kept.node if n.op == "VariableV2"]
        self.given = {f"{name}/read:0": reader.get_tensor(name) for name in names}
        self.places = {self.graph.get_tensor_by_name(f"{n.name}:0").dtype: f"{n.name}:0"
                       for n in kept.node if n.op == "Placeholder"}  # fmt: skip

    def __call__(self, patches: np.ndarray) -> np.ndarray:
        given = {self.places[tf.float32]: patches, self.places[tf.bool]: False}
        with tf.compat.v1.Session(graph=self.graph) as session:
            found: np.ndarray = session.run(f"{self.answer}:0", self.given | given)
        return found


def patches_of(sound: np.ndarray) -> np.ndarray:
    """The package's front end (extractor.py), but for its half precision, under this librosa."""
    power = librosa.feature.melspectrogram(
        y=sound.astype(np.float64), sr=16000, n_fft=512, hop_length=256, n_mels=96
    )
    whole = np.log10(10000 * power.T + 1)
    count = len(whole) // 187
    return whole[: 187 * count].reshape(count, 187, 96).astype(np.float32)


def loaded(path: Path) -> np.ndarray:
    """As librosa loads a file, resampled by soxr."""
    sound, _ = librosa.load(path, sr=16000, mono=True, res_type="soxr_hq")
    return np.asarray(sound)


@needs_package
@pytest.mark.parametrize("name", NAMES)
def test_a_song_is_tagged_as_the_published_graph_tags_it(
    name: str, runs: dict[str, Path], songs: dict[str, Path]
) -> None:
    theirs = Graph(PACKAGE / name)
    heard, cut, tags = hearing(runs[name])
    assert len(tags) == 50
    assert set(songs) >= {"wav", "flac"}
    for path in songs.values():
        answer = tagged(heard, cut, path)
        expected = theirs(patches_of(loaded(path)))
        assert answer.each.shape == expected.shape == (4, 50)
        assert np.abs(answer.each - expected).max() < 1e-4
    assert np.ptp(answer.whole) > 0.1  # it knows something
    assert np.abs(np.diff(answer.each, axis=0)).max() > 1e-3


@needs_package
@pytest.mark.parametrize("name", NAMES)
def test_any_patch_is_answered_as_the_published_graph_answers_it(
    name: str, runs: dict[str, Path]
) -> None:
    """Silence, full scale and what no music is."""
    random = np.random.default_rng(0)
    patches = np.stack([
        np.zeros((187, 96)), np.full((187, 96), 6.0), random.uniform(0, 5, (187, 96)),
        np.where(np.arange(187)[:, None] % 16 == 0, 3.0, 0.5) * np.ones((187, 96)),
        np.where(np.arange(96) == 40, 4.0, 0.0) * np.ones((187, 96)),
    ]).astype(np.float32)  # fmt: skip
    expected = Graph(PACKAGE / name)(patches)
    logits = tagger.best(runs[name]).net(patches, training=False)
    assert np.abs(tf.sigmoid(logits).numpy() - expected).max() < 1e-4
    assert np.ptp(expected, axis=0).max() > 0.3


@needs_package
def test_the_front_end_is_that_of_the_package(songs: dict[str, Path]) -> None:
    sound = loaded(songs["flac"])
    batches = Cut.of(HEARD, "logmel").patches([sound])
    front = LogMel(HEARD | {"window": HEARD["window"]}, "logmel", around=True)
    found = np.concatenate([front(batch).numpy() for batch in batches])
    expected = patches_of(sound)
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() < 1e-4
    assert expected.max() > 1


def test_it_hears_as_the_shipped_recipe_does() -> None:
    from pipeline import cookbook

    (one,) = cookbook.load(["musicnn"])
    told = json.loads(json.dumps(one.resolved()))
    for section in ("audio", "window"):
        for key, value in HEARD[section].items():
            assert told[section][key] == value, key
    for key, value in HEARD["features"]["logmel"].items():
        assert told["features"]["logmel"][key] == value, key


# ---- what stands in a run ----------------------------------------------------------------------


@needs_package
def test_runs_are_complete_and_say_what_they_are(runs: dict[str, Path]) -> None:
    assert tuple(runs) == NAMES  # the last one is used first
    for name, folder in runs.items():
        assert read_state(folder)["state"] == "finished"
        facts = read_config(folder)
        config = facts["config"]
        assert (config["net"], config["shape"], facts["data"]) == ("musicnn", [187, 96], {})
        assert config["published"] == f"musicnn {name}"
        assert config["heard"] == HEARD
        assert profile_of(config).augment is None
        assert "best" in Checkpoints(folder).best().name
    opened = [read_state(folder)["opened"] for folder in runs.values()]
    assert opened == sorted(opened)


@needs_package
def test_tags_are_those_of_the_package_in_its_order(runs: dict[str, Path]) -> None:
    text = (PACKAGE / "configuration.py").read_text()
    for name, folder in runs.items():
        (line,) = re.findall(rf"^{name[:3]}_LABELS = \[(.*)\]$", text, re.M)
        told = read_config(folder)["config"]["tags"]
        assert told == [word.strip("' ") for word in line.split(",")]
        assert len(set(told)) == 50
    assert read_config(runs["MTT_musicnn"])["config"]["tags"][:3] == ["guitar", "classical", "slow"]


@needs_package
def test_every_published_number_is_somewhere_in_the_net(runs: dict[str, Path]) -> None:
    """Each array as many times as there, whatever its order; but for the four of the input's."""
    for name, folder in runs.items():
        reader = tf.compat.v1.train.NewCheckpointReader(f"{PACKAGE / name}/")
        shapes = reader.get_variable_to_shape_map()
        theirs = sorted(
            np.sort(reader.get_tensor(key), axis=None).tobytes()
            for key in shapes
            if "Adam" not in key and "power" not in key and np.prod(shapes[key]) > 1
        )
        held = weights(load(Checkpoints(folder).best())["learner"])
        floats = [array for array in held.values() if array.dtype.kind == "f"]
        ours = sorted(np.sort(array, axis=None).tobytes() for array in floats)
        assert ours == theirs
        first = {n: reader.get_tensor(f"batch_normalization/{n}")[0] for n in published.NORMS}
        config, x = read_config(folder)["config"], np.linspace(0, 6, 7)
        expected = (x - first["moving_mean"]) / np.sqrt(first["moving_variance"] + EPSILON)
        expected = expected * first["gamma"] + first["beta"]
        np.testing.assert_allclose((x - config["mean"]) / config["deviation"], expected, rtol=1e-6)


@needs_package
def test_a_second_import_changes_nothing(tmp_path: Path) -> None:
    imported(tmp_path)
    before = here.stamps(tmp_path)
    assert [folder.name for folder in imported(tmp_path)] == list(NAMES)
    assert here.written(before, here.stamps(tmp_path)) == set()


@needs_package
@pytest.mark.parametrize("file", ["checkpoint", "aside", "none", "config.json", "state.json"])
def test_a_damaged_run_is_made_anew(
    runs: dict[str, Path], tmp_path: Path, file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever of it is damaged; the other one is left alone."""
    root = tmp_path / "artifacts"
    shutil.copytree(runs["MTT_musicnn"].parents[2], root)
    whole, folder = (root / "runs" / "tagger" / name for name in NAMES)
    path = Checkpoints(folder).best()
    before, kept = path.read_bytes(), here.stamps(whole)
    if file in ("checkpoint", "aside"):
        path.write_bytes(before[:-50_000] + b"!" + before[-49_999:])
    if file == "aside":
        path.rename(path.with_name(path.name + ".aside"))
    if file == "none":
        shutil.rmtree(folder / "checkpoints")
    if file.endswith("json"):
        (folder / file).write_bytes((folder / file).read_bytes().replace(b'"', b"'", 1))
    if file == "checkpoint":
        with pytest.raises(RunError) as error:
            hearing(folder)
        assert str(error.value).endswith("hash)). Run make import-musicnn, which makes a damaged "
                                         "run anew")  # fmt: skip
    assert [one.name for one in imported(root)] == list(NAMES)
    said = capsys.readouterr().err.splitlines()
    assert f"{folder}" in said[0]
    assert said[0].endswith(": it is made anew")
    assert Checkpoints(folder).best().read_bytes() == before
    assert [one.name for one in (folder / "checkpoints").iterdir()] == [path.name]
    assert read_state(folder)["state"] == "finished"
    assert tagger.best(folder).config["published"] == "musicnn MTT_musicnn"
    assert here.written(kept, here.stamps(whole)) == set()


@needs_package
def test_weights_of_a_run_whose_configuration_was_lost_are_kept(
    runs: dict[str, Path], tmp_path: Path
) -> None:
    folder = tmp_path / "runs" / "tagger" / "MTT_musicnn"
    folder.mkdir(parents=True)
    (folder / "config.json").write_bytes(b"{")
    kept = Checkpoints(folder).save(7, {"run": "another", "learner": {}}, best=True)
    with pytest.raises(RunError, match=f"weights of another run. Move {folder} away"):
        imported(tmp_path)
    assert load(kept)["run"] == "another"


@needs_package
def test_a_run_of_published_weights_is_not_trained_further(runs: dict[str, Path]) -> None:
    from training.tagger import __main__ as script

    with pytest.raises(RunError, match="not trained here. Run make import-musicnn, which makes"):
        script.resume(runs["MTT_musicnn"])


@needs_package
def test_an_import_that_was_interrupted_is_made_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*rest: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(published, "variables", killed)
        with pytest.raises(KeyboardInterrupt):
            imported(tmp_path)
    assert read_state(tmp_path / "runs/tagger/MSD_musicnn")["state"] == "unfinished"
    for folder in imported(tmp_path):
        assert read_state(folder)["state"] == "finished"
        assert tagger.best(folder).net.count_params() > 0


# ---- a package that is not trusted -------------------------------------------------------------


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the package, to be spoilt."""
    if FOUND is None:
        pytest.skip("the package musicnn is not installed")
    copy = tmp_path / "site" / "musicnn"
    copy.mkdir(parents=True)
    shutil.copy(PACKAGE / "configuration.py", copy)
    for name in NAMES:
        shutil.copytree(PACKAGE / name, copy / name, ignore=shutil.ignore_patterns(".meta"))
    monkeypatch.setattr(published, "_package", lambda: copy)
    return copy


def test_nothing_of_the_package_is_run(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found where Python finds packages; its files would leave a mark, and raise."""
    monkeypatch.undo()
    monkeypatch.syspath_prepend(str(package.parent))
    importlib.invalidate_caches()
    mark = tmp_path / "was-here"
    bomb = f"open({os.fspath(mark)!r}, 'w').close()\nraise SystemError('was run')\n"
    (package / "__init__.py").write_text(bomb)
    (package / "extractor.py").write_text(bomb)
    text = (package / "configuration.py").read_text()
    (package / "configuration.py").write_text(text + bomb)
    assert importlib.util.find_spec("musicnn").origin == os.fspath(package / "__init__.py")  # type: ignore[union-attr]
    folders = imported(tmp_path / "artifacts")
    assert [folder.name for folder in folders] == list(NAMES)
    assert not mark.exists()
    assert not [name for name in sys.modules if name.split(".")[0] == "musicnn"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("at", [0, 5_000_000, -1])
def test_other_weights_than_those_published_are_refused(
    package: Path, tmp_path: Path, name: str, at: int
) -> None:
    data = package / name / ".data-00000-of-00001"
    held = bytearray(data.read_bytes())
    held[at] ^= 1
    data.write_bytes(held)
    said = rf"{name}/\.data-00000-of-00001: not the published weights; expected sha256 "
    with pytest.raises(Damaged, match=said):
        imported(tmp_path / "artifacts")
    assert not (tmp_path / "artifacts").exists()  # nor is the other one written


def test_weights_that_are_not_there_are_missed(package: Path, tmp_path: Path) -> None:
    shutil.rmtree(package / "MSD_musicnn")
    said = "no published weights; expected musicnn 0.1.0. Install it anew "
    with pytest.raises(RunError, match=said):
        imported(tmp_path / "artifacts")


@pytest.mark.parametrize("index", [b"", b"no index at all", None])
def test_an_index_of_the_weights_that_cannot_be_read_is_refused(
    package: Path, tmp_path: Path, index: bytes | None
) -> None:
    path = package / "MSD_musicnn" / ".index"
    path.unlink()
    if index is not None:
        path.write_bytes(index)
    with pytest.raises(Damaged, match="MSD_musicnn: not a readable checkpoint; got ") as said:
        imported(tmp_path / "artifacts")
    assert str(said.value).endswith(ANEW)


def test_an_index_of_other_arrays_is_refused(package: Path, tmp_path: Path) -> None:
    """Of those of the other net in the package, whose bytes would be read from wrong places."""
    if not (PACKAGE / "MSD_vgg").is_dir():
        pytest.skip("the package has no other net")
    shutil.copy(PACKAGE / "MSD_vgg" / ".index", package / "MSD_musicnn" / ".index")
    with pytest.raises(RunError) as said:
        imported(tmp_path / "artifacts")
    assert "\n" not in str(said.value)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("MSD_LABELS = list(map(str, range(50)))", "expected a list of 50 names; got ValueError"),
        ("MSD_LABELS = ['a'] + ['b'] * 49", "got ValueError"),
        ("MSD_LABELS = __import__('os').listdir()", "got ValueError"),
        ("MSD_LABELS = ['rock', 'pop']", r"got \['rock', 'pop'\]"),
        ("MSD_LABELS = [" + "'rock'," * 50 + "]", r"got \['rock', 'rock', .{40,90}\.\.\."),
        ("MSD_LABELS = 'rock'", "got 'rock'"),
        ("MSD_LABELS = 50", "got TypeError"),
        ("MSD_LABELS = [" + "1," * 50 + "]", r"got \[1, 1"),
        ("OTHER = 1", "expected a list of 50 names; got none"),
        ("MSD_LABELS = [", "got SyntaxError"),
        ("MSD_LABELS = ['\0']", "got SyntaxError"),
    ],
)
def test_tags_that_do_not_stand_there_as_a_list_are_refused(
    package: Path, tmp_path: Path, line: str, said: str
) -> None:
    path = package / "configuration.py"
    text = re.sub(r"^MSD_LABELS = .*$", lambda _: line, path.read_text(), flags=re.M)
    path.write_text(text)
    with pytest.raises(Damaged, match=said) as error:
        imported(tmp_path / "artifacts")
    assert f"{path}: no MSD_LABELS that can be read; expected" in str(error.value)
    assert str(error.value).endswith(ANEW)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "artifacts").exists()


@pytest.mark.parametrize("data", [None, b"MSD_LABELS = ['\xff']"])
def test_a_list_of_tags_that_is_not_there_is_missed(
    package: Path, tmp_path: Path, data: bytes | None
) -> None:
    path = package / "configuration.py"
    path.unlink()
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(Damaged, match="no MSD_LABELS that can be read; expected a list of 50"):
        imported(tmp_path / "artifacts")


def test_a_missing_package_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(published, "PACKAGE", "musicnn_that_nobody_has")
    with pytest.raises(RunError) as said:
        imported(tmp_path)
    assert str(said.value) == f"the package musicnn_that_nobody_has is not installed. {ANEW}"
    assert not list(tmp_path.iterdir())


@needs_package
def test_a_name_that_is_taken_by_another_run_is_refused(
    runs: dict[str, Path], tmp_path: Path
) -> None:
    root = tmp_path / "artifacts"
    shutil.copytree(runs["MSD_musicnn"], root / "runs" / "tagger" / "MTT_musicnn")
    with pytest.raises(Changed, match="MTT_musicnn: the run began otherwise"):
        imported(root)


# ---- the command -------------------------------------------------------------------------------


@needs_package
def test_the_command_makes_runs_that_say_how_they_are_used(
    tmp_path: Path, songs: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from training.tagger import __main__ as script

    def command(*asked: str, **variables: str) -> commanded.Told:
        known = {"ARTIFACTS": os.fspath(tmp_path)}
        work = lambda: script.cli.main(list(asked), standalone_mode=False)  # noqa: E731
        return commanded.told(work, known | variables)

    one = command("import")
    assert one.code == 0, one.err
    for name, line in zip(NAMES, one.out.splitlines(), strict=True):
        folder = tmp_path / "runs" / "tagger" / name
        assert line == f"{folder}: tag with it (make tag RUN={name}), start from it (INIT=), ..."
        card = (folder / "MODEL.md").read_text()
        assert "ISC licence" in card
        assert "It was not trained here." in card
        assert not (folder / "training_history.png").exists()
    monkeypatch.setattr(use, "one_thread_each", lambda jobs: None)  # other tests compute
    one = command("tag", IN=str(songs["flac"]), TOP="5", JOBS="1")
    assert one.code == 0, one.err
    assert one.err.startswith(f"with {tmp_path}/runs/tagger/MTT_musicnn\n")
    assert one.out.startswith(f"{songs['flac']}  14.0 s  ")
    taggram = json.loads((tmp_path / "tags" / "song.flac.json").read_text())
    assert len(taggram["tags"]) == 50
    assert (tmp_path / "tags" / "song.flac.png").read_bytes().startswith(b"\x89PNG")
