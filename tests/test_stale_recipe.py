"""Every key of a recipe, changed: exactly what depends on it is made again, and nothing is stale.

Reads and writes in pytest's folders. The oracle is a clean build of the changed recipe: the
incremental one must end in the same tree, whatever was kept.
"""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from pipeline import cookbook
from pipeline import recipe as recipes
from tests import corpus, here
from tests.sweeps import note

TAGS = """\
name = "tiny-tags"
about = "patches with tags"
[select]
roles = ["noise"]
needs = "tags"
[audio]
rate = 16000
[window]
samples = 8192
hop = 8192
pad = "repeat"
min_fill = 1.0
edges = "recording"
[features.logmel]
kind = "mel"
n_fft = 512
hop = 256
mels = 32
log = "log10_1p"
[labels]
kind = "tags"
top = 2
[output]
fields = ["logmel", "tags"]
formats = ["tfrecord", "hdf5"]
shard_mb = 1
"""
TALK = """\
name = "tiny-talk"
about = "who speaks when"
[select]
roles = ["labelled"]
needs = "speakers"
[audio]
rate = 8000
[window]
samples = 8000
hop = 8000
min_fill = 0.1
edges = "recording"
[features.logmel]
kind = "mel"
n_fft = 256
hop = 80
mels = 20
log = "ln"
[labels]
kind = "activity"
frame = 400
[output]
fields = ["logmel", "activity"]
formats = ["hdf5"]
"""
CONVERSATION = """\
name = "tiny-conversation"
about = "simulated conversations"
[select]
roles = ["clean"]
[audio]
rate = 8000
[window]
samples = 40000
hop = 40000
[conversation]
train = 6
speakers = [2]
pause = 0.4
offset = 0.1
spread = 0.2
interject = 0.3
echo = [0.1, 0.2]
voices = [0.9, 1.1]
[mix]
kind = "snr"
values = [10.0, 20.0]
noises = ["white"]
track = 1.0
tracks = 1
[features.logmel]
kind = "mel"
n_fft = 256
hop = 80
mels = 20
log = "ln"
[labels]
kind = "activity"
frame = 80
[output]
fields = ["logmel", "activity", "voices"]
formats = ["hdf5"]
"""
TEXTS = (corpus.MIX, corpus.CLASSES, TAGS, TALK, CONVERSATION)
BASES = {text.split('"')[1]: text for text in TEXTS}

NONE, SHARDS, BOTH = set[str](), {"shards"}, {"shards", "noise"}
# What a change must make again, by the key or, where it has no line, by its table.
EFFECT: dict[str, set[str]] = {
    "about": NONE,
    "select": SHARDS,
    "audio": BOTH,
    "window": SHARDS,
    "mix": SHARDS,
    "mix.noises": BOTH,
    "mix.track": BOTH,
    "mix.tracks": BOTH,
    "mix.seed": BOTH,
    "conversation": SHARDS,
    "conversation.valid": NONE,  # of one speaker there is none
    "conversation.test": NONE,
    "features": SHARDS,
    "labels": SHARDS,
    "labels.generate": NONE,  # no recording here has no label
    "output.fields": SHARDS,
    "output.formats": {"tfrecord"},
    "output.shard_mb": NONE,
}
# These add or drop work, and leave the rest of its kind alone.
SOME = {"select.roles", "mix.tracks", "conversation.train", "conversation.voices"}
# Where the next value of the type breaks a rule of the recipe, or another key must move with it.
VALID: dict[str, dict[str, dict[str, Any]]] = {
    "tiny-mix": {
        "select.roles": {"select__roles": ["clean", "noise"]},
        "select.needs": {"select__needs": "label", "select__roles": ["noise"]},
        "window.edges": {},  # not with a mix
        "mix.kind": {"mix__kind": "level", "mix__values": [0.01, 0.1]},
        "mix.materialise": {"mix__materialise": False, "output__fields": ["clean"]},
        "output.formats": {"output__formats": ["hdf5", "tfrecord"]},
    },
    "tiny-classes": {
        "select.roles": {"select__roles": ["noise", "music"]},
        "select.needs": {"select__needs": "none", "labels__kind": "none",
                         "output__fields": ["logmel"]},
        "window.edges": {"window__edges": "recording", "features__logmel__top_db": 0.0},
        "features.logmel.n_fft": {"features__logmel__n_fft": 400},
        "features.logmel.hop": {"features__logmel__hop": 128},
        "features.logmel.win": {"features__logmel__win": 400},
        "features.logmel.fmax": {"features__logmel__fmax": 3000.0},
        "labels.kind": {"labels__kind": "none", "output__fields": ["logmel"]},
        "labels.generate": {},  # of who speaks alone
        "output.formats": {},  # both stand already; taken away in a test of its own
    },
    "tiny-tags": {
        "select.roles": {"select__roles": ["noise", "clean"]},
        "select.needs": {},
        "labels.kind": {"labels__kind": "none", "output__fields": ["logmel"]},
        "labels.top": {"labels__top": 3},
        "labels.generate": {},
    },
    "tiny-conversation": {
        "conversation.speakers": {},  # there are two to learn from: in tests of its own
        "conversation.train": {"conversation__train": 9},
        "conversation.echo": {"conversation__echo": [0.1, 0.3]},
    },
    "tiny-talk": {
        "labels.kind": {"labels__kind": "none", "output__fields": ["logmel"]},
        "labels.frame": {"labels__frame": 800},
        "window.samples": {"window__samples": 4000},
    },
}  # fmt: skip


def _cases() -> list[tuple[str, str, dict[str, Any]]]:
    """(base, key, changes): every key of every table on the first two, labels on the others."""
    found = []
    sections: dict[str, tuple[type, tuple[str, ...]]] = {
        "select": (recipes.Select, ("tiny-mix", "tiny-classes")),
        "audio": (recipes.Audio, ("tiny-mix", "tiny-classes")),
        "window": (recipes.Window, ("tiny-mix", "tiny-classes")),
        "mix": (recipes.Mix, ("tiny-mix",)),
        "conversation": (recipes.Conversation, ("tiny-conversation",)),
        "features.logmel": (recipes.Feature, ("tiny-classes",)),
        "labels": (recipes.Labels, ("tiny-classes", "tiny-tags", "tiny-talk")),
        "output": (recipes.Output, ("tiny-mix", "tiny-classes")),
    }
    found += [(base, "about", {"about": "another text"}) for base in BASES]
    for section, (kind, bases) in sections.items():
        for base in bases:
            whole = {r.name: r for r in [_parsed(BASES[base])]}[base]
            held: Any = whole
            for part in section.split("."):
                held = held[part] if isinstance(held, dict) else getattr(held, part)
            for key, hint in here.keys(kind).items():
                name = f"{section}.{key}"
                value = here.other(hint, getattr(held, key))
                default = {name.replace(".", "__"): value}
                changes = VALID[base].get(name, default)
                found += [(base, name, changes)] if changes else []
    return found


def _parsed(text: str) -> recipes.Recipe:
    found: recipes.Recipe = cookbook._recipe(tomllib.loads(text), "", Path("here"))
    return found


CASES = _cases()


def _wanted(name: str, key: str, changed: recipes.Recipe) -> set[str]:
    """Kinds of files that the change must make again."""
    if (name, key) == ("tiny-classes", "select.roles"):
        return NONE  # nothing of the other role is there
    wanted = EFFECT[key] if key in EFFECT else EFFECT[key.split(".")[0]]
    wanted = wanted if changed.mix else wanted - {"noise"}
    twins = "tfrecord" in changed.output.formats and "shards" in wanted
    return wanted | {"tfrecord"} if twins else wanted


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """data/, and artifacts/ with every base recipe built."""
    root = tmp_path_factory.mktemp("stale")
    data = corpus.small_corpus(root / "data")
    _listed(data)
    here.features(data, root / "artifacts", corpus.recipes(root / "recipes", *BASES.values()))
    return root


def _listed(data: Path) -> None:
    """Adds tags to the noises and two conversations to the small corpus."""
    rows = [line.split(",") for line in (data / "melmill.csv").read_text().split()]
    rows = [[*row, "tags", "rttm"] if row[0] == "path" else [*row, "", ""] for row in rows]
    tags = iter(["wet|loud", "low", "wet|far", "low|loud"])
    for row in rows:
        if row[1] == "noise":
            row[-2] = next(tags)
    for name, seed in (("talk1", 40), ("talk2", 41), ("talk3", 42)):
        corpus.sf.write(data / f"{name}.wav", corpus.voice(seed, 2.5), corpus.RATE, "PCM_16")
        turns = [(0.1, 0.8, f"{name}-ann"), (0.7, 1.0, f"{name}-bob")]
        text = "".join(f"SPEAKER {name} 1 {a} {d} <NA> <NA> {w} <NA> <NA>\n" for a, d, w in turns)
        (data / f"{name}.rttm").write_text(text)
        rows.append([f"{name}.wav", "labelled", "", "", "", f"{name}.rttm"])
    (data / "melmill.csv").write_text("\n".join(",".join(row) for row in rows) + "\n")


def _kind(name: str) -> str:
    """pcm, noise, index, tfrecord or shards: what a file of the tree is."""
    folder, _, file = name.partition("/")
    if folder == "pcm" or not file:
        return folder
    if file.endswith("index.json"):
        return "index"
    if file.startswith("noise-"):
        return "noise"
    return "tfrecord" if file.endswith(".tfrecord") else "receipt" if ".json" in file else "shards"


@pytest.mark.parametrize(("name", "key", "changes"), CASES, ids=[f"{b}-{k}" for b, k, _ in CASES])
def test_key(base: Path, tmp_path: Path, name: str, key: str, changes: dict[str, Any]) -> None:
    text = here.changed(BASES[name], **changes)
    assert _parsed(text) != _parsed(BASES[name])
    artifacts = here.copy(base / "artifacts", tmp_path / "artifacts")
    recipe = corpus.recipes(tmp_path, text)
    before = here.stamps(artifacts)
    here.features(base / "data", artifacts, recipe)
    after = here.stamps(artifacts)
    new = {n for n in here.written(before, after) if not n.startswith(".cache")}
    kinds = {_kind(n) for n in new} - {"receipt"}
    assert "index" in kinds
    assert all(n.startswith(f"{name}/") for n in new), "another recipe was touched, or the packs"
    wanted = _wanted(name, key, _parsed(text))
    assert kinds - {"index"} == wanted
    for what in wanted if key not in SOME else ():  # all of the kind, not some of it
        assert not [n for n in after if _kind(n) == what and n.startswith(f"{name}/")
                    and n not in new], what  # fmt: skip
    clean = tmp_path / "clean"
    here.copy(base / "artifacts" / "pcm", clean / "pcm")
    here.features(base / "data", clean, recipe)
    assert _tree(artifacts, name) == _tree(clean, name)
    assert here.verify(artifacts)[0] == 0
    note("a key of a recipe changed: just what hangs on it is made again", 1, 1)


def _tree(artifacts: Path, name: str) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted((artifacts / name).iterdir())}


def test_every_key_is_covered() -> None:
    covered = {key for _, key, _ in CASES}
    tables = {
        "select": recipes.Select, "audio": recipes.Audio, "window": recipes.Window,
        "mix": recipes.Mix, "conversation": recipes.Conversation,
        "features.logmel": recipes.Feature, "labels": recipes.Labels, "output": recipes.Output,
    }  # fmt: skip
    every = {f"{table}.{key}" for table, kind in tables.items() for key in here.keys(kind)}
    assert every - {"conversation.speakers"} <= covered
    assert set(here.keys(recipes.Recipe)) == {"name", "about", *(t.split(".")[0] for t in tables)}


def test_a_format_taken_away_leaves_the_other_alone(base: Path, tmp_path: Path) -> None:
    artifacts = here.copy(base / "artifacts", tmp_path / "artifacts")
    recipe = corpus.recipes(tmp_path, here.changed(corpus.CLASSES, output__formats=["hdf5"]))
    before = here.stamps(artifacts)
    here.features(base / "data", artifacts, recipe)
    after = here.stamps(artifacts)
    new = {_kind(n) for n in here.written(before, after) if not n.startswith(".cache")}
    assert new == {"index", "receipt"}
    assert not list((artifacts / "tiny-classes").glob("*.tfrecord"))
    clean = tmp_path / "clean"
    here.features(base / "data", clean, recipe)
    assert _tree(artifacts, "tiny-classes") == _tree(clean, "tiny-classes")


def test_another_name_is_another_folder(base: Path, tmp_path: Path) -> None:
    artifacts = here.copy(base / "artifacts", tmp_path / "artifacts")
    recipe = corpus.recipes(tmp_path, here.changed(corpus.MIX, name="other"))
    before = here.stamps(artifacts)
    here.features(base / "data", artifacts, recipe)
    new = here.written(before, here.stamps(artifacts))
    assert {n.split("/")[0] for n in new} - {".cache"} == {"other"}
    ours, theirs = _tree(artifacts, "tiny-mix"), _tree(artifacts, "other")
    assert {n: b for n, b in ours.items() if n[-4:] != "json"} == {
        n: b for n, b in theirs.items() if n[-4:] != "json"
    }
