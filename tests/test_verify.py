"""Verify: every kind of fault is seen, named once, and never ends in a crash.

Reads and writes shards in pytest's own folder. Flipped bits and cut files: test_damage.py.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline import jobs, tracks, verify, verify_corpus
from pipeline.disk import store
from pipeline.dsp import mix
from pipeline.errors import MelmillError
from pipeline.formats import hdf5, tfrecord
from pipeline.formats.fields import Field
from pipeline.recipe import Labels
from pipeline.schema import fields
from pipeline.verify import Check, audit, check_files
from tests import inline
from tests.made import RATE, recipe

Arrays = dict[str, np.ndarray]
MIXED = recipe(fields=("noisy", "clean"), mix={"noises": ("white",)})
LEVEL = recipe(fields=("noisy", "clean"), mix={"kind": "level", "values": (0.01, 0.1)})
PLAIN = recipe(fields=("wave",))


def sound(seed: int, n: int = 800) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(n)).astype(np.float32)


def mixtures(asked: Any = MIXED, count: int = 4) -> Arrays:
    """Honest examples of two recordings."""
    rows: dict[str, list[Any]] = {f.name: [] for f in fields(asked, 1)}
    for k in range(count):
        value = asked.mix.values[k % 2]
        clean, noise = sound(k), mix.fit(sound(100 + k), 800, 0)
        if asked.mix.kind == "snr":
            pair = mix.at_snr(clean, noise, value, speech_level="rms", rate=RATE)
        else:
            pair = mix.at_level(clean, noise, value)
        row = {**vars(pair), "source": b"s%d" % (k // 2), "group": 10 + k // 2, "valid": 800}
        for name, column in rows.items():
            column.append(row.get(name, 0))
    return {f.name: np.array(rows[f.name], f.numpy) for f in fields(asked, 1)}


def plain(count: int = 3, group: int = 10) -> Arrays:
    made = {f.name: np.zeros((count, *f.shape), f.numpy) for f in fields(PLAIN, 1)}
    made["wave"][:] = [sound(k) for k in range(count)]
    made["group"][:] = group
    made["source"][:] = f"s{group}".encode()
    return made


def put(
    folder: Path, arrays: Arrays, asked: Any = MIXED, split: str = "train", number: int = 0,
    formats: tuple[str, ...] = ("hdf5",), described: list[Field] | None = None,
) -> Check:  # fmt: skip
    """Sealed shards of these arrays, as an honest build would describe them."""
    described = described or fields(asked, 1)
    files = []
    for form in formats:
        if form == "hdf5":
            data, suffix = hdf5.encode(described, arrays, {}), "h5"
        else:
            data, suffix = tfrecord.encode(described, arrays), "tfrecord"
        path = f"{split}-00-{number}.0123456789ab.{suffix}"
        (folder / path).write_bytes(data)
        files.append({
            "path": path, "split": split, "format": form, "bytes": len(data),
            "examples": len(next(iter(arrays.values()))), "sha256": store.sha256(data),
        })  # fmt: skip
    return Check(str(folder), tuple(described), tuple(files), asked.resolved())


def one_fault(check: Check) -> str:
    (fault,) = check_files(check).faults
    assert check.files[0]["path"] in fault
    assert "\n" not in fault
    return fault


def test_honest_shards_are_good_and_counted(tmp_path: Path) -> None:
    found = check_files(put(tmp_path, mixtures(), formats=("hdf5", "tfrecord")))
    assert (found.faults, found.damaged, found.examples, found.mixtures) == ([], [], 4, 4)
    assert found.who == {("source", b"s0"), ("source", b"s1"), ("group", 10), ("group", 11)}
    assert check_files(put(tmp_path, mixtures(LEVEL), LEVEL)).faults == []
    found = check_files(put(tmp_path, plain(), PLAIN))
    assert (found.faults, found.examples, found.mixtures) == ([], 3, 0)


# ------------------------------------------------------------------ labels


@pytest.mark.parametrize("asked", [MIXED, LEVEL], ids=["snr", "level"])
@pytest.mark.parametrize("name", ["achieved", "requested"])
def test_a_label_that_the_samples_do_not_bear_out_is_seen(
    tmp_path: Path, asked: Any, name: str
) -> None:
    arrays = mixtures(asked)
    arrays[name][2] = arrays[name][2] * 1.01 + 0.02
    fault = one_fault(put(tmp_path, arrays, asked))
    assert "mixture 2 is labelled" in fault
    assert " and measures " in fault


def test_samples_that_do_not_bear_out_the_label_are_seen(tmp_path: Path) -> None:
    arrays = mixtures()
    arrays["noisy"][1, 400:] = arrays["clean"][1, 400:]
    assert "mixture 1 is labelled" in one_fault(put(tmp_path, arrays))


def test_a_rounding_is_no_fault() -> None:
    arrays = mixtures()
    arrays["achieved"] += np.float32(0.005)
    assert audit(arrays, MIXED.resolved())[0] == []


@pytest.mark.parametrize("asked", [MIXED, LEVEL], ids=["snr", "level"])
@pytest.mark.parametrize(
    "spoil",
    [
        lambda a: a["noisy"].__setitem__(0, a["clean"][0]),
        lambda a: a["clean"].__setitem__(0, 0) or a["noisy"].__setitem__(0, 0),
        lambda a: a["achieved"].__setitem__(0, np.nan),
        lambda a: a["achieved"].__setitem__(0, 0) or a["gain"].__setitem__(0, 0),
        lambda a: a["achieved"].__setitem__(0, -np.inf),
    ],
    ids=["no noise", "silence", "NaN", "zero", "infinite"],
)
def test_what_cannot_be_measured_is_a_fault_and_no_crash(
    asked: Any, spoil: Callable[..., Any]
) -> None:
    arrays = mixtures(asked)
    arrays["requested"][0] += 1  # so that a zero is wrong too
    spoil(arrays)
    faults, count = audit(arrays, asked.resolved())
    assert count == 4
    assert len(faults) == 1
    assert faults[0].startswith("mixture 0 ")


def test_mixtures_that_are_not_stored_whole_are_not_measured(tmp_path: Path) -> None:
    asked = recipe(fields=("noisy",), mix={"noises": ("white",)})
    arrays = mixtures()
    del arrays["clean"]
    found = check_files(put(tmp_path, arrays, asked))
    assert (found.faults, found.mixtures) == ([], 0)


@pytest.mark.parametrize(
    ("name", "value", "wrong"),
    [
        ("label", 2, True),
        ("label", -1, True),
        ("label", 1, False),
        ("tags", 2, True),
        ("tags", 1, False),
    ],
)
def test_a_label_that_names_nothing_is_seen(
    tmp_path: Path, name: str, value: int, wrong: bool
) -> None:
    asked = recipe(fields=("wave", name), labels=Labels("class" if name == "label" else "tags"))
    shape = (3,) if name == "label" else (3, 1)
    arrays = plain() | {name: np.zeros(shape, "<i4" if name == "label" else "u1")}
    arrays[name][1] = value
    check = replace(put(tmp_path, arrays, asked), classes=2)
    if wrong:
        assert f"{name} goes from {min(value, 0)} to {max(value, 0)}; expected 0" in one_fault(
            check
        )
    else:
        assert check_files(check).faults == []


# ------------------------------------------------------------------ numbers, formats, files


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_number_that_is_none_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bad: float
) -> None:
    arrays = plain()
    arrays["wave"][2, 799] = bad
    with pytest.raises(MelmillError, match="not finite"):
        put(tmp_path, arrays, PLAIN)  # no build would write it
    monkeypatch.setattr(hdf5, "check", lambda described, arrays: 3)
    assert "wave holds numbers that are not finite" in one_fault(put(tmp_path, arrays, PLAIN))


@pytest.mark.parametrize("name", ["wave", "start", "source"])
def test_formats_that_differ_are_seen(tmp_path: Path, name: str) -> None:
    both = put(tmp_path, plain(), PLAIN, formats=("hdf5", "tfrecord"))
    arrays = plain()
    arrays[name][1] = b"x" if name == "source" else 1
    other = put(tmp_path, arrays, PLAIN, formats=("tfrecord",))
    check = replace(both, files=(both.files[0], other.files[0]))
    assert f"{name} differs between HDF5 and TFRecord" in one_fault(check)


def test_other_bytes_are_seen_and_the_file_is_named_for_mending(tmp_path: Path) -> None:
    check = put(tmp_path, plain(), PLAIN, formats=("hdf5", "tfrecord"))
    path = tmp_path / check.files[1]["path"]
    raw = bytearray(path.read_bytes())
    raw[100] ^= 1
    path.write_bytes(raw)
    found = check_files(check)
    assert found.damaged == [path]
    assert len(found.faults) == 1
    assert "damaged shard; expected" in found.faults[0]
    assert found.who  # the other format still tells who is in it


def test_a_file_that_is_gone_is_seen(tmp_path: Path) -> None:
    check = put(tmp_path, plain(), PLAIN)
    (tmp_path / check.files[0]["path"]).unlink()
    found = check_files(check)
    assert (len(found.faults), len(found.damaged), found.examples) == (1, 1, 0)
    assert "missing shard. Run `make features`" in found.faults[0]


def test_a_count_that_is_wrong_is_seen(tmp_path: Path) -> None:
    check = put(tmp_path, plain(), PLAIN)
    check.files[0]["examples"] = 4
    assert "wrong count; expected 4; got 3" in one_fault(check)


def test_other_fields_than_the_index_says_are_seen(tmp_path: Path) -> None:
    check = put(tmp_path, plain(), PLAIN)
    less = replace(check, fields=check.fields[1:])
    assert "other datasets" in one_fault(less)


def test_a_path_that_leaves_the_folder_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    check = put(tmp_path, plain(), PLAIN)
    check.files[0]["path"] = f"../{check.files[0]['path']}"
    inner = replace(check, folder=str(tmp_path / "in"))
    assert "leaves its folder" in check_files(inner).faults[0]


# ------------------------------------------------------------------ leaks


def leaks(*checks: Check) -> list[str]:
    return verify._leaks(checks, [check_files(check).who for check in checks])


def test_a_group_in_two_splits_is_seen(tmp_path: Path) -> None:
    train = put(tmp_path, plain(group=10), PLAIN)
    again = put(tmp_path, plain(group=10), PLAIN, number=1)
    valid = put(tmp_path, plain(group=11), PLAIN, "valid")
    assert leaks(train, again, valid) == []
    arrays = plain(group=12)
    arrays["group"][2] = 10
    test = put(tmp_path, arrays, PLAIN, "test")
    (fault,) = leaks(train, again, valid, test)
    assert "test-00-0" in fault
    assert "group 10 stands in train too. A leak" in fault


def test_a_recording_in_two_splits_is_seen_though_its_group_is_another(tmp_path: Path) -> None:
    arrays = plain(group=11)
    arrays["source"][0] = b"s10"
    checks = put(tmp_path, plain(group=10), PLAIN), put(tmp_path, arrays, PLAIN, "valid")
    (fault,) = leaks(*checks)
    assert "source b's10' stands in train too" in fault


def test_a_voice_in_the_noise_of_another_split_is_seen(tmp_path: Path) -> None:
    described = tracks.fields(100)
    arrays = {f.name: np.zeros((2, *f.shape), f.numpy) for f in described}
    arrays["groups"][1, :2] = (10, 12)
    noise = put(tmp_path, arrays, PLAIN, "test", described=described)
    noise = replace(noise, noise=True)
    assert check_files(noise).examples == 0
    assert leaks(put(tmp_path, plain(group=11), PLAIN), noise) == []
    (fault,) = leaks(put(tmp_path, plain(group=10), PLAIN), noise)
    assert "group 10 stands in train too" in fault


def test_two_recipes_may_split_differently(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
    one = put(tmp_path / "a", plain(), PLAIN), put(tmp_path / "b", plain(), PLAIN, "test")
    assert leaks(*one) == []


# ------------------------------------------------------------------ a whole folder


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """artifacts/made with one shard and its index; packs and lists are another test's business."""
    monkeypatch.setattr(jobs, "run", inline.run)
    monkeypatch.setattr(verify_corpus, "check", lambda artifacts, count: ([], []))
    made = tmp_path / "made"
    made.mkdir()
    check = put(made, plain(), PLAIN)
    name = check.files[0]["path"].replace(".h5", ".json")
    store.write_bytes(made / name, store.dump_json(store.seal({"receipt": name})))
    index = {
        "fields": [f.to_json() for f in check.fields], "noise_fields": [], "noise": [],
        "shards": list(check.files), "recipe": check.recipe, "classes": [], "receipts": [name],
    }  # fmt: skip
    store.write_bytes(made / "index.json", store.dump_json(store.seal(index)))
    return made


def test_a_good_folder(folder: Path) -> None:
    report = verify.verify(folder.parent, [], 1)
    assert (report.faults, report.shards, report.examples) == ([], 1, 3)
    assert verify.verify(folder.parent, ["made"], 1) == report


@pytest.mark.parametrize(
    "name", ["train-00-9.0123456789ab.h5", "notes.txt", "notes.json", "folder"]
)
def test_a_file_that_no_index_names_is_seen(folder: Path, name: str) -> None:
    if name == "folder":
        (folder / name).mkdir()
    else:
        (folder / name).write_bytes(b"x")
    (fault,) = verify.verify(folder.parent, [], 1).faults
    told = "in no index. Run `make features`; what stays then is not ours: move it away"
    assert fault == f"{folder / name}: {told}"


def test_a_folder_without_its_index_is_seen(folder: Path) -> None:
    (folder / "index.json").unlink()
    (fault,) = verify.verify(folder.parent, [], 1).faults
    assert fault == f"{folder}: no index.json. Run `make features`"
    assert (
        verify.verify(folder.parent, ["other"], 1)
        .faults[0]
        .startswith(str(folder.parent / "other"))
    )


def test_a_damaged_index_is_seen(folder: Path) -> None:
    raw = bytearray((folder / "index.json").read_bytes())
    raw[40] ^= 2
    (folder / "index.json").write_bytes(raw)
    (fault,) = verify.verify(folder.parent, [], 1).faults
    assert "damaged file" in fault


def test_nothing_at_all_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(MelmillError, match="nothing to verify. Run `make features` first"):
        verify.verify(tmp_path, [], 1)
