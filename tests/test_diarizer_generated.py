"""Guessed labels are no truth to measure with: a diarizer's evaluation leaves them out and says so.

Reads and writes in pytest's folders.
"""

from dataclasses import replace
from pathlib import Path

import pytest
import soundfile as sf

from tests import corpus, here

pytest.importorskip("torch")

from tests.diarizing import _REAL, ODD, TURNS, spoken  # noqa: E402
from training.data.index import DataError, Index, load_index  # noqa: E402
from training.diarizer import validation  # noqa: E402
from training.diarizer.evaluate import measured, recordings  # noqa: E402
from training.diarizer.loss import Orders  # noqa: E402
from training.diarizer.profiles import PROFILES  # noqa: E402
from training.diarizer.sequences import rows, voices  # noqa: E402

RECIPE = here.changed(
    _REAL, name="guess", labels__generate=True,
    output__fields=["wave", "logmel", "activity", "voices", "generated"],
)  # fmt: skip


def built(root: Path, *told: bool) -> Index:
    """Recordings of the test split, with RTTM or without, and one with it to learn from."""
    data = root / "data"
    data.mkdir()
    lines = ["path,role,split,rttm"]
    for number, known in enumerate((True, *told)):
        sf.write(data / f"r{number}.wav", spoken(TURNS, ODD, seed=number), 16000, "PCM_16")
        (data / f"r{number}.rttm").write_text("".join(
            f"SPEAKER r{number} 1 {a:.3f} {b - a:.3f} <NA> <NA> {who}{number} <NA> <NA>\n"
            for who, a, b in TURNS
        ))  # fmt: skip
        split = "test" if number else "train"
        lines.append(f"r{number}.wav,labelled,{split}," + (f"r{number}.rttm" if known else ""))
    (data / "melmill.csv").write_text("\n".join(lines) + "\n")
    here.features(data, root / "artifacts", corpus.recipes(root, RECIPE))
    return load_index(root / "artifacts" / "guess")


def test_what_was_guessed_is_left_out_and_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    index = built(tmp_path, True, False, False)
    assert index.counts["generated"] == 2
    (one,) = recordings(index)  # its windows are joined, as voices have names
    assert one.seconds == pytest.approx(ODD)
    assert sorted({turn.speaker for turn in one.truth}) == ["1", "2", "3"]
    rows = measured({}, {}, index)
    assert {row.recording for row in rows} == {one.name}
    said = capsys.readouterr()
    assert "left out of the test split of guess: 6 with generated labels" in said.out + said.err


def test_nothing_but_guesses_is_nothing_to_measure_with(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nothing to measure with"):
        measured({}, {}, built(tmp_path, False))


def test_all_given_is_said_without_a_word(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    index = built(tmp_path, True)
    assert len(list(recordings(index))) == 1
    measured({}, {}, index)
    said = capsys.readouterr()
    assert "left out" not in said.out + said.err
    assert len(voices([index])) == 3  # names to learn voices by


def test_epochs_are_not_judged_by_guesses(tmp_path: Path) -> None:
    index = built(tmp_path, True, False, False)
    every, given = rows(index, "test"), rows(index, "test", given=True)
    assert (len(every), len(given)) == (9, 3)
    profile = replace(PROFILES["demo"], speakers=index.recipe["labels"]["speakers"])
    orders = Orders(profile.head, profile.sets)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(validation, "rows", lambda index, split, **how: rows(index, "test", **how))
        held = validation.Validation([index], profile, orders).batches
        assert sum(len(batch["frames"]) for batch in held) == 3
    (none := tmp_path / "none").mkdir()
    guessed = built(none, False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(validation, "rows", lambda index, split, **how: rows(index, "test", **how))
        with pytest.raises(DataError, match="labels that were given"):
            validation.Validation([guessed], profile, orders)
