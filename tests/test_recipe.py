"""Recipes: every shipped one is whole, and every mistake is one line that names the key.

Reads the shipped recipes. Writes recipes into pytest's own folder.
"""

import re
from collections.abc import Callable
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

from pipeline import cookbook
from pipeline.cookbook import SHIPPED, load
from pipeline.errors import UsageError
from pipeline.recipe import Recipe

Write = Callable[[str], Path]

PLAIN = """
name = "mine"
about = "a test"
[select]
roles = ["noise"]
needs = "label"
[audio]
rate = 16000
[window]
samples = 16000
hop = 16000
[features.logmel]
kind = "mel"
n_fft = 512
hop = 160
mels = 40
[labels]
kind = "class"
[output]
fields = ["logmel", "label"]
formats = ["hdf5"]
"""

MIX = """
name = "mine"
about = "a test"
[select]
roles = ["clean"]
[audio]
rate = 16000
[window]
samples = 16000
hop = 16000
[features.logmel]
kind = "mel"
n_fft = 512
hop = 160
mels = 40
[mix]
kind = "snr"
values = [0.0, 5]
noises = ["white"]
[output]
fields = ["noisy", "clean"]
formats = ["hdf5"]
"""

TALK = PLAIN.replace('"noise"', '"labelled"').replace('needs = "label"', 'needs = "speakers"')
TALK = TALK.replace('kind = "class"', 'kind = "activity"\nframe = 1600')
TALK = TALK.replace('"logmel", "label"', '"logmel", "activity"')


CONV = MIX.replace("hop = 16000", 'hop = 16000\nedges = "recording"')
CONV = CONV.replace('"noisy", "clean"', '"wave", "logmel", "activity", "voices"')
CONV += """
[labels]
kind = "activity"
frame = 160
[conversation]
test = 3
speakers = [2, 3]
pause = 0.5
offset = 0.2
spread = 0.4
interject = 0.1
"""


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def put(text: str) -> Path:
        path = tmp_path / "mine.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return put


def one(path: Path) -> Recipe:
    (found,) = load([str(path)])
    return found


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.toml")), ids=lambda p: p.stem)
def test_shipped_recipes_load_under_the_name_of_their_file(path: Path) -> None:
    for found in load([path.stem]):
        assert found.name == path.stem or found.name.startswith(path.stem + "-")
        assert found.about


@pytest.mark.parametrize("name", ["talks", "talks-heard"])
def test_those_of_the_figures_are_shipped_ones_with_more_conversations(name: str) -> None:
    """The README's figures on real voices: nothing but names and counts may differ."""
    free = {"name", "about", "train", "valid", "test"}
    figures = Path(__file__).parent / "bench" / f"{name}.toml"
    shipped = SHIPPED / f"{name.replace('talks', 'conversations')}.toml"
    mine, theirs = (
        [line for line in path.read_text().splitlines() if line and line[0] != "#"]
        for path in (figures, shipped)
    )
    assert len(mine) == len(theirs)
    differing = {a.split(" = ")[0] for a, b in zip(mine, theirs, strict=True) if a != b}
    assert differing <= free
    assert one(figures).name == name


def test_naming_none_is_all_once() -> None:
    names = [r.name for r in load([])]
    assert len(names) == len(set(names)) == 10
    assert [r.name for r in load(["hybrid", "hybrid"])] == ["hybrid"]


def test_a_profile_is_the_file_with_its_changes(write: Write) -> None:
    text = PLAIN + "[profiles.long]\n[profiles.short]\nwindow.samples = 8000\nwindow.most = 1\n"
    long, short = load([str(write(text))])
    assert (long.name, short.name) == ("mine-long", "mine-short")
    assert (long.window.samples, long.window.most) == (16000, 0)
    assert (short.window.samples, short.window.most) == (8000, 1)
    assert short.features == long.features
    assert short.window.hop == 16000


def test_a_shipped_profile_is_found_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.toml").write_text(PLAIN + "[profiles.long]\n[profiles.short]\n")
    monkeypatch.setattr(cookbook, "SHIPPED", tmp_path)
    assert [r.name for r in load(["mine-short"])] == ["mine-short"]
    assert [r.name for r in load([])] == ["mine-long", "mine-short"]


def test_a_profile_adds_tables_and_replaces_lists(write: Write) -> None:
    text = PLAIN + '[profiles.a]\noutput.fields = ["label"]\n[profiles.b.features.more]\n'
    text += 'kind = "mfcc"\nn_fft = 256\nhop = 100\nmels = 30\n'
    a, b = load([str(write(text))])
    assert a.output.fields == ("label",)
    assert (a.name, b.name) == ("mine-a", "mine-b")
    assert set(b.features) == {"logmel", "more"}
    assert set(a.features) == {"logmel"}


def test_a_recipe_is_frozen_and_equal_to_itself(write: Write) -> None:
    found = one(write(PLAIN))
    assert found == one(write(PLAIN))
    with pytest.raises(FrozenInstanceError):
        found.audio.rate = 8000  # type: ignore[misc]


def test_a_whole_number_may_stand_for_a_decimal_and_not_the_reverse(write: Write) -> None:
    found = one(write(MIX))
    assert found.mix is not None
    assert found.mix.values == (0.0, 5.0)
    assert all(type(v) is float for v in found.mix.values)
    with pytest.raises(UsageError, match=r"audio.rate = 16000.0; expected int; got float"):
        one(write(PLAIN.replace("rate = 16000", "rate = 16000.0")))


def swap(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new)


TYPES = [  # in PLAIN, what stands there instead, what must be said
    ("samples =", "sampels =", r"unknown key window.sampels = 16000; .*Did you mean 'samples'\?"),
    ("[audio]", "[audoi]", r"unknown key audoi = .*Did you mean 'audio'\?"),
    ("mels = 40", "mels = 40\nxyz = 1", "unknown key features.logmel.xyz = 1; expected .* n_fft"),
    ("hop = 16000\n", "", "missing key window.hop"),
    ('about = "a test"', "", "missing key about"),
    ("mels = 40", "mels = true", "features.logmel.mels = True; expected int; got bool"),
    ('["hdf5"]', '["hdf5"]\nshard_mb = true', "output.shard_mb = True; expected int; got bool"),
    ("hop = 16000", "hop = 16000\nmin_fill = true", "window.min_fill = True; expected float"),
    (
        "hop = 16000",
        "hop = 16000\nmin_fill = '1'",
        "window.min_fill = '1'; expected float; got str",
    ),
    ("hop = 16000", "hop = 16000\npad = 'no'", "window.pad = 'no'; expected one of zero, repeat"),
    ("hop = 16000", "hop = 16000\npad = []", r"window.pad = \[\]; expected one of zero, repeat"),
    ('["noise"]', '["noise", "x"]', r"select.roles\[1\] = 'x'; expected one of clean, noise"),
    ('["noise"]', '"noise"', "select.roles = 'noise'; expected a list; got str"),
    ('["hdf5"]', "[[]]", r"output.formats\[0\] = \[\]; expected one of hdf5, tfrecord"),
    ("[audio]\nrate = 16000", "[[audio]]\nrate = 16000", "audio = .*; expected a table"),
    ('name = "mine"', 'name = "mine"\nfeatures = []', "features"),
    ('name = "mine"', 'name = "mine"\nprofiles = 3', "profiles must be tables"),
    ('name = "mine"', 'name = "mine"\nprofiles.a = 3', "profiles must be tables"),
    ("\n[select]", "\n[select", "cannot read the recipe: .*line"),
]


@pytest.mark.parametrize(("old", "new", "said"), TYPES)
def test_wrong_keys_and_types_are_named(write: Write, old: str, new: str, said: str) -> None:
    path = write(swap(PLAIN, old, new))
    with pytest.raises(UsageError, match=said) as caught:
        one(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def renamed(name: str) -> str:
    return PLAIN.replace("features.logmel", f"features.{name}").replace('"logmel"', f'"{name}"')


BARE = PLAIN[: PLAIN.index("[features")] + PLAIN[PLAIN.index("[labels]") :]
BARE = swap(BARE, '"logmel", "label"', '"label"')

RULES = {  # what is wrong -> (the recipe, the key that must be named)
    "a name with a slash": (swap(PLAIN, '"mine"', '"../mine"'), "name"),
    "a name in capitals": (swap(PLAIN, '"mine"', '"Mine"'), "name"),
    "a name of another folder": (swap(PLAIN, '"mine"', '"pcm"'), "name"),
    "the demo's name": (swap(PLAIN, '"mine"', '"demo"'), "name"),
    "a name too long": (swap(PLAIN, '"mine"', f'"{"m" * 62}"'), "name"),
    "a profile's name": (PLAIN + '[profiles."a b"]\n', "name"),
    "no role": (swap(PLAIN, '["noise"]', "[]"), "select.roles"),
    "labels without the need": (swap(PLAIN, 'needs = "label"', ""), "select.needs"),
    "a rate too low": (swap(PLAIN, "rate = 16000", "rate = 3999"), "audio.rate"),
    "a rate too high": (swap(PLAIN, "rate = 16000", "rate = 384001"), "audio.rate"),
    "no samples": (swap(PLAIN, "samples = 16000", "samples = 0"), "window.samples"),
    "a window past memory": (swap(PLAIN, "samples = 16000", "samples = 9600001"), "window.samples"),
    "a hop of nothing": (swap(PLAIN, "hop = 16000", "hop = 0"), "window.hop"),
    "fill over one": (swap(PLAIN, "hop = 16000", "hop = 16000\nmin_fill = 1.1"), "window.min_fill"),
    "fill not a number": (
        swap(PLAIN, "hop = 16000", "hop = 16000\nmin_fill = nan"), "window.min_fill",
    ),
    "fewer than all windows": (swap(PLAIN, "hop = 16000", "hop = 16000\nmost = -1"), "window.most"),
    "a shard of nothing": (PLAIN + "shard_mb = 0", "output.shard_mb"),
    "a huge shard": (PLAIN + "shard_mb = 257", "output.shard_mb"),
    "no format": (swap(PLAIN, '["hdf5"]', "[]"), "output.formats"),
    "no field": (swap(PLAIN, '["logmel", "label"]', "[]"), "output.fields"),
    "a field of another recipe": (swap(PLAIN, '"logmel", "label"', '"noisy"'), "output.fields"),
    "a wave of a mixture": (swap(MIX, '"noisy", "clean"', '"wave"'), "output.fields"),
    "a field twice": (swap(PLAIN, '"logmel", "label"', '"label", "label"'), "output.fields"),
    "a feature's bad name": (renamed("Log-Mel"), "features.Log-Mel"),
    "a feature called group": (renamed("group"), "features.group"),
    "a feature called gain": (renamed("gain"), "features.gain"),
    "a short transform": (swap(PLAIN, "n_fft = 512", "n_fft = 8"), "features.logmel.n_fft"),
    "a hop over it": (swap(PLAIN, "hop = 160\n", "hop = 513\n"), "features.logmel.hop"),
    "a frame over it": (swap(PLAIN, "mels = 40", "mels = 40\nwin = 513"), "features.logmel.win"),
    "too many bands": (swap(PLAIN, "mels = 40", "mels = 257"), "features.logmel.mels"),
    "a band over half": (
        swap(PLAIN, "mels = 40", "mels = 40\nfmax = 8001.0"), "features.logmel.fmax",
    ),
    "bands upside down": (
        swap(PLAIN, "mels = 40", "mels = 40\nfmin = 500\nfmax = 400"), "features.logmel.fmax",
    ),
    "amin of nothing": (swap(PLAIN, "mels = 40", "mels = 40\namin = 0"), "features.logmel.amin"),
    "eps under it": (swap(PLAIN, "mels = 40", "mels = 40\neps = -1"), "features.logmel.eps"),
    "c without end": (swap(PLAIN, "mels = 40", "mels = 40\nc = inf"), "features.logmel.c"),
    "a power under nothing": (
        swap(PLAIN, "mels = 40", "mels = 40\nref = -1"), "features.logmel.ref",
    ),
    "top_db under it": (
        swap(PLAIN, "mels = 40", "mels = 40\ntop_db = -1"), "features.logmel.top_db",
    ),
    "more MFCCs than bands": (
        swap(swap(PLAIN, '"mel"', '"mfcc"'), "mels = 40", "mels = 19"), "features.logmel.count",
    ),
    "edges out of step": (
        swap(PLAIN, "hop = 16000", 'hop = 16010\nedges = "recording"'), "features.logmel.hop",
    ),
    "edges of frames that nobody makes": (
        swap(BARE, "hop = 16000", 'hop = 16000\nedges = "recording"'),
        "window.edges",
    ),
    "edges of two hops": (
        swap(PLAIN, "hop = 16000", 'hop = 16000\nedges = "recording"')
        + '[features.more]\nkind = "mel"\nn_fft = 512\nhop = 200\nmels = 40\n',
        "window.edges",
    ),
    "edges with a vector": (
        swap(swap(PLAIN, '"mel"', '"vector"'), "hop = 16000", 'hop = 16000\nedges = "recording"'),
        "features.logmel",
    ),
    "a vector at a low rate": (
        swap(swap(PLAIN, '"mel"', '"vector"'), "rate = 16000", "rate = 12800"), "audio.rate",
    ),
    "a vector of short frames": (
        swap(swap(PLAIN, '"mel"', '"vector"'), "n_fft = 512\nhop = 160", "n_fft = 158\nhop = 79"),
        "features.logmel.n_fft",
    ),
    "a vector of every sample": (
        swap(swap(PLAIN, '"mel"', '"vector"'), "hop = 160\n", "hop = 1\n"), "features.logmel.hop",
    ),
    "no tags": (swap(PLAIN, '"class"', '"class"\ntop = 0'), "labels.top"),
    "a label frame of nothing": (swap(TALK, "frame = 1600", "frame = 0"), "labels.frame"),
    "a label frame out of step": (swap(TALK, "frame = 1600", "frame = 1601"), "labels.frame"),
    "no speaker": (swap(TALK, "frame = 1600", "frame = 1600\nspeakers = 0"), "labels.speakers"),
    "no value": (swap(MIX, "[0.0, 5]", "[]"), "mix.values"),
    "a value twice": (swap(MIX, "[0.0, 5]", "[5, 5.0]"), "mix.values"),
    "an SNR out of reach": (swap(MIX, "[0.0, 5]", "[61]"), "mix.values"),
    "a level over full scale": (
        swap(swap(MIX, '"snr"', '"level"'), "[0.0, 5]", "[1.5]"), "mix.values",
    ),
    "an SNR that is none": (swap(MIX, "[0.0, 5]", "[nan]"), "mix.values"),
    "no noise": (swap(MIX, '["white"]', "[]"), "mix.noises"),
    "a noise twice": (swap(MIX, '["white"]', '["white", "white", "pink"]'), "mix.noises"),
    "no track": (swap(MIX, "[0.0, 5]", "[5]\ntracks = 0"), "mix.tracks"),
    "a track under a window": (swap(MIX, "[0.0, 5]", "[5]\ntrack = 0.5"), "mix.track"),
    "a track over a minute": (swap(MIX, "[0.0, 5]", "[5]\ntrack = 61"), "mix.track"),
    "a mixture over edges": (
        swap(MIX, "hop = 16000", 'hop = 16000\nedges = "recording"'), "window.edges",
    ),
    "noisy that nobody makes": (
        swap(MIX, "[0.0, 5]", "[5]\nmaterialise = false"), "output.fields",
    ),
    "noisy of a conversation": (swap(CONV, '"wave", ', '"noisy", '), "output.fields"),
    "voices where nobody speaks": (swap(PLAIN, '"logmel"', '"voices"'), "output.fields"),
    "guesses where nobody speaks": (swap(PLAIN, '"logmel"', '"generated"'), "output.fields"),
    "labels of a class, guessed": (
        swap(PLAIN, 'kind = "class"', 'kind = "class"\ngenerate = true'), "labels.generate",
    ),
    "a conversation whose labels are guessed": (
        swap(CONV, '"activity"\n', '"activity"\ngenerate = true\n'), "labels.generate",
    ),
    "a conversation of music": (swap(CONV, '["clean"]', '["clean", "music"]'), "select.roles"),
    "a conversation that needs labels": (
        swap(CONV, '["clean"]', '["clean"]\nneeds = "speakers"'), "select.needs",
    ),
    "a conversation without its labels": (
        swap(swap(CONV, '"activity"\n', '"none"\n'), ', "activity", "voices"', ""), "labels.kind",
    ),
    "a conversation at a level": (
        swap(swap(CONV, '"snr"', '"level"'), "[0.0, 5]", "[0.1]"), "mix",
    ),
    "babble in a conversation": (swap(CONV, '["white"]', '["white", "babble"]'), "mix.noises"),
    "conversations that overlap": (swap(CONV, "hop = 16000", "hop = 8000"), "window.hop"),
    "fewer than no conversations": (swap(CONV, "test = 3", "test = -1"), "conversation.test"),
    "no conversations": (swap(CONV, "test = 3", "test = 0"), "conversation.train"),
    "a monologue": (swap(CONV, "[2, 3]", "[1, 2]"), "conversation.speakers"),
    "more speakers than columns": (swap(CONV, "[2, 3]", "[5]"), "conversation.speakers"),
    "nobody": (swap(CONV, "[2, 3]", "[]"), "conversation.speakers"),
    "no pause": (swap(CONV, "pause = 0.5", "pause = 0"), "conversation.pause"),
    "an offset of minutes": (swap(CONV, "offset = 0.2", "offset = 60"), "conversation.offset"),
    "a spread under nothing": (swap(CONV, "spread = 0.4", "spread = -1"), "conversation.spread"),
    "more than always": (
        swap(CONV, "interject = 0.1", "interject = 1.1"), "conversation.interject",
    ),
    "an echo upside down": (CONV + "echo = [0.5, 0.1]", "conversation.echo"),
    "half an echo": (CONV + "echo = [0.5]", "conversation.echo"),
    "a voice of a dwarf": (CONV + "voices = [1.0, 4.0]", "conversation.voices"),
    "a voice twice": (CONV + "voices = [1.0, 1.0]", "conversation.voices"),
}  # fmt: skip


@pytest.mark.parametrize("what", list(RULES))
def test_each_rule_has_an_example_that_breaks_it(write: Write, what: str) -> None:
    text, key = RULES[what]
    with pytest.raises(UsageError, match=rf": {re.escape(key)} = .*; expected ") as caught:
        one(write(text))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", [PLAIN, MIX, TALK, CONV])
def test_without_the_mistake_they_load(write: Write, text: str) -> None:
    assert one(write(text)).name == "mine"


def test_every_rule_is_broken_by_an_example(write: Write) -> None:
    """Each `yield` of the rules is the first that fails for one example or another."""
    found = set()
    for text, _ in RULES.values():
        with pytest.raises(UsageError) as caught:
            one(write(text))
        found.add(str(caught.value).split("expected ")[1])
    source = Path(cookbook.__file__).read_text()
    count = source[source.index("def _rules") :].count("\n    yield ")
    assert len(found) >= count - 3  # three share their text with another


@pytest.mark.parametrize(
    ("name", "near"), [("musicn", "musicnn"), ("diarisation", "diarization"),
                       ("noise_classifier", "noise-classifier")],
)  # fmt: skip
def test_an_unknown_name_is_answered_with_the_nearest(name: str, near: str) -> None:
    with pytest.raises(UsageError, match=f"no recipe '{name}'; .*Did you mean '{near}'"):
        load([name])


def test_a_name_like_no_other_lists_them_all() -> None:
    with pytest.raises(
        UsageError, match="expected one of conversations, .*Name one, or give a path"
    ):
        load(["qqqqqqqq"])


def test_a_path_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot read the recipe: .*No such file"):
        load([str(tmp_path / "none.toml")])
    with pytest.raises(UsageError, match="cannot read the recipe: .*directory"):
        load([f"{tmp_path}/"])


def test_text_that_is_no_utf8(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_bytes(b'name = "\xff"\n')
    with pytest.raises(UsageError, match="cannot read the recipe"):
        load([str(tmp_path / "a.toml")])


def test_two_recipes_of_one_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(PLAIN)
    (tmp_path / "b.toml").write_text(swap(PLAIN, "mels = 40", "mels = 41"))
    with pytest.raises(UsageError, match="two recipes are called 'mine'"):
        load([str(tmp_path / "a.toml"), str(tmp_path / "b.toml")])
    assert len(load([str(tmp_path / "a.toml")] * 2)) == 1


def test_numbers_hold_what_decides_bytes_and_nothing_else(write: Write) -> None:
    base = one(write(PLAIN)).numbers()
    for same in (
        swap(PLAIN, '"a test"', '"another"'), swap(PLAIN, '"mine"', '"yours"'),
        PLAIN + "shard_mb = 8", swap(PLAIN, '["hdf5"]', '["hdf5", "tfrecord"]'),
        PLAIN + '[features.unused]\nkind = "mel"\nn_fft = 64\nhop = 16\nmels = 8\n',
    ):  # fmt: skip
        assert one(write(same)).numbers() == base
    for other in (
        swap(PLAIN, "mels = 40", "mels = 41"), swap(PLAIN, "rate = 16000", "rate = 16001"),
        swap(PLAIN, '"logmel", "label"', '"label", "logmel"'),
        swap(PLAIN, "hop = 160\n", "hop = 161\n"),
        swap(PLAIN, "hop = 16000", "hop = 16000\nmin_fill = 0.4"),
    ):  # fmt: skip
        assert one(write(other)).numbers() != base
