"""Answers for a student to learn from: kept exactly, averaged, and refused where they do not fit.

Reads and writes only in pytest's own folders. Needs no TensorFlow.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from training import durable
from training.classifier.teacher import FILE, TEACHER, taught, write
from training.data.index import Index
from training.durable import hash_of
from training.engine.checkpoint import load, pack
from training.errors import Changed, Damaged, RunError

PART = np.array([True, True, False, True, False, True])
INDEX = Index(
    folder=Path("/none"), name="toy", key="a" * 64, recipe={}, fields=(), tags=(), statistics={},
    classes=("birds", "rain", "wind"), entries=(), receipts=(), noise=(), noise_fields=(),
    noises=(), names={}, fingerprint="", counts={}, feature_description={},
)  # fmt: skip


def logits(seed: int, part: np.ndarray = PART) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(0, 3, (int(part.sum()), 3)).astype(np.float32)


def made(folder: Path, seed: int = 0, index: Index = INDEX, part: np.ndarray = PART) -> list[str]:
    """A teacher's file, and its hash, as a run keeps them."""
    folder.mkdir(exist_ok=True)
    write(folder / FILE, index, "mine", part, logits(seed, part))
    return [str(folder / FILE), hash_of(folder / FILE)]


def changed(folder: Path, **values: Any) -> list[str]:
    path, _ = made(folder)
    durable.write(Path(path), pack(load(Path(path)) | values))
    return [path, hash_of(Path(path))]


def likely(values: np.ndarray) -> np.ndarray:
    """Softmax, one number at a time."""
    return np.array([[np.exp(a - np.logaddexp.reduce(row)) for a in row] for row in values])


def test_answers_come_back_where_they_belong(tmp_path: Path) -> None:
    found = taught([made(tmp_path)], INDEX, PART)
    assert list(found) == [TEACHER]
    held = found[TEACHER]
    assert held.shape == (6, 3)
    assert held.dtype == np.float32
    np.testing.assert_allclose(held[PART], likely(logits(0)), rtol=1e-6)
    assert np.all(held[~PART] == 0)


def test_logits_are_kept_to_the_bit(tmp_path: Path) -> None:
    path, _ = made(tmp_path)
    told = load(Path(path))
    assert np.array_equal(told["logits"][PART], logits(0))
    assert np.isnan(told["logits"][~PART]).all()
    assert (told["run"], told["data"], told["classes"]) == ("mine", INDEX.key, list(INDEX.classes))
    before = Path(path).read_bytes()
    made(tmp_path)
    assert Path(path).read_bytes() == before


def test_without_teachers_there_is_nothing() -> None:
    assert taught([], INDEX, PART) == {}


def test_several_teachers_are_averaged_as_probabilities(tmp_path: Path) -> None:
    files = [made(tmp_path / str(seed), seed) for seed in range(3)]
    held = taught(files, INDEX, PART)[TEACHER]
    mean = sum(likely(logits(seed)) for seed in range(3)) / 3
    np.testing.assert_allclose(held[PART], mean, rtol=1e-6)
    np.testing.assert_allclose(held[PART].sum(-1), 1, rtol=1e-6)
    assert np.abs(held[PART] - likely(np.mean([logits(s) for s in range(3)], axis=0))).max() > 0.01


def test_answers_of_any_size_are_probabilities(tmp_path: Path) -> None:
    write(tmp_path / FILE, INDEX, "x", PART, np.array([[9e4, 0, -9e4]] * 4, np.float32))
    held = taught([[str(tmp_path / FILE), hash_of(tmp_path / FILE)]], INDEX, PART)[TEACHER]
    assert np.array_equal(held[PART], [[1, 0, 0]] * 4)


def test_a_student_may_learn_from_a_part_of_what_a_teacher_did(tmp_path: Path) -> None:
    less = PART & (np.arange(6) < 4)
    held = taught([made(tmp_path)], INDEX, less)[TEACHER]
    np.testing.assert_allclose(held[less], likely(logits(0)[:3]), rtol=1e-6)
    assert np.all(held[~less] == 0)


def test_a_teacher_that_missed_an_example_is_refused(tmp_path: Path) -> None:
    files = [made(tmp_path / "whole"), made(tmp_path / "other", part=~PART)]
    with pytest.raises(Changed) as said:
        taught(files, INDEX, PART)
    assert str(said.value) == (
        f"{tmp_path}/other/{FILE}: a teacher that has not learnt from all of these examples; "
        "expected answers for 4; got 4 missing. Name teachers of the same fold"
    )
    with pytest.raises(Changed, match="answers for 5; got 1 missing"):
        taught(files[:1], INDEX, PART | (np.arange(6) == 2))


def test_answers_that_are_not_numbers_are_missing(tmp_path: Path) -> None:
    held = np.full((6, 3), 1, np.float32)
    for bad in (np.inf, -np.inf, np.nan):
        held[3, 1] = bad
        with pytest.raises(Changed, match="got 1 missing"):
            taught([changed(tmp_path, logits=held)], INDEX, PART)


def test_answers_for_other_shards_are_refused(tmp_path: Path) -> None:
    file = made(tmp_path)
    with pytest.raises(Changed, match="answers for other data") as said:
        taught([file], replace(INDEX, key="b" * 64), PART)
    assert f"{file[0]}: " in str(said.value)
    assert f"expected the index {'b' * 16}; got those of {'a' * 16}" in str(said.value)
    assert "Write it again with make teacher" in str(said.value)


@pytest.mark.parametrize(
    "classes", [("birds", "rain"), ("rain", "birds", "wind"), ("birds", "rain", "wind", "x")]
)
def test_a_teacher_of_other_classes_is_refused(tmp_path: Path, classes: tuple[str, ...]) -> None:
    with pytest.raises(Changed, match="a teacher of other classes"):
        taught([made(tmp_path)], replace(INDEX, classes=classes), PART)


def test_answers_that_changed_since_the_run_began_are_refused(tmp_path: Path) -> None:
    path, key = made(tmp_path)
    made(tmp_path, seed=1)
    with pytest.raises(Changed, match="have changed since the run began") as said:
        taught([[path, key]], INDEX, PART)
    assert said.value.exit_code == 2
    assert taught([[path, hash_of(Path(path))]], INDEX, PART)


def test_a_file_that_is_cut_or_flipped_is_refused(tmp_path: Path) -> None:
    path, key = made(tmp_path)
    whole = Path(path).read_bytes()
    flipped = bytearray(whole)
    flipped[-50] ^= 1
    for data in (whole[:-1], whole[:20], b"", bytes(flipped)):
        Path(path).write_bytes(data)
        with pytest.raises(Changed, match="have changed"):  # of a run that has begun
            taught([[path, key]], INDEX, PART)
        with pytest.raises(Damaged, match="make teacher") as said:  # of one that begins
            taught([[path, hash_of(Path(path))]], INDEX, PART)
        assert path in str(said.value)


@pytest.mark.parametrize("other", [{"learner": {"model": {}}}, [1, 2], {"run": "x"}])
def test_another_sealed_file_is_no_teacher(tmp_path: Path, other: Any) -> None:
    path = tmp_path / "step-000000012-best.ckpt"
    durable.write(path, pack(other))
    with pytest.raises(Changed, match="no teacher's answers.*Write it again with make teacher"):
        taught([[str(path), hash_of(path)]], INDEX, PART)


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    path = tmp_path / FILE
    for work in (lambda: hash_of(path), lambda: taught([[str(path), "0" * 64]], INDEX, PART)):
        with pytest.raises(RunError, match="cannot be read: No such file or directory") as said:
            work()
        assert str(path) in str(said.value)


def test_the_hash_is_sha256(tmp_path: Path) -> None:
    path = tmp_path / "abc"
    path.write_bytes(b"abc")  # FIPS 180-2, appendix B.1
    assert hash_of(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
