"""What scores come to: sums over seconds, intervals over recordings, parts by speakers and overlap,
and the tables that show it.

Writes summaries in pytest's folders.
"""

import csv
import json
import math
from pathlib import Path

import pytest

from training import durable
from training.diarizer.rttm import Turn
from training.diarizer.scores import errors
from training.diarizer.summary import LITTLE, MUCH, Scored, ordered, save, score, summary
from training.diarizer.systems import RATE, System, asked
from training.diarizer.table import table
from training.errors import RunError

LONG = [Turn(0, 60, "a"), Turn(60, 100, "b")]  # 100 s, no overlap
SHORT = [Turn(0, 10, "a"), Turn(5, 15, "b"), Turn(15, 20, "c")]  # 25 s, 5 of 20 overlap


def rows() -> list[Scored]:
    """`melmill` misses 10 s of the long one; `other` half of the short one and a count of it."""
    late = [Turn(10, 60, "x"), Turn(60, 100, "y")]
    half = [Turn(0, 10, "x"), Turn(12.5, 15, "y")]
    return [
        score("long", "other", LONG, LONG, 100.0, 10.0),
        score("long", "melmill", LONG, late, 100.0, 1.0),
        score("short", "melmill", SHORT, SHORT, 20.0, 1.0),
        score("short", "other", SHORT, half, 20.0, 2.0),
    ]


def test_a_recording_is_scored() -> None:
    row = rows()[3]
    assert (row.recording, row.system, row.true, row.found) == ("short", "other", 3, 2)
    assert row.exact == errors(SHORT, [Turn(0, 10, "x"), Turn(12.5, 15, "y")])
    assert row.exact.missed == 12.5
    assert row.collar.speech < row.exact.speech
    assert (row.alone.speech, row.together.speech) == (15, 10)
    assert row.jaccard == pytest.approx((0 + 0.75 + 1) / 3)
    assert row.overlap == pytest.approx(0.25)


def test_rates_are_of_all_seconds_together() -> None:
    told = summary(rows(), recipe="talks", parameters={"melmill": 5e5})
    ours, other = told["systems"]["melmill"], told["systems"]["other"]
    assert ours["der"]["mean"] == pytest.approx(10 / 125)
    assert ours["missed"] == pytest.approx(10 / 125)
    assert (ours["false"], ours["confused"]) == (0, 0)
    assert other["der"]["mean"] == pytest.approx(12.5 / 125)
    assert other["together"] == pytest.approx(5 / 10)
    assert ours["jer"] == pytest.approx(2 * (1 / 6) / 2 / 5)  # 5 speakers in two recordings
    assert (ours["counted"], other["counted"], other["miscounted"]) == (1, 0.5, 0.5)
    assert (ours["rtf"], other["rtf"]) == (pytest.approx(2 / 120), pytest.approx(0.1))
    assert (ours["parameters"], other["parameters"]) == (5e5, None)
    assert (told["recordings"], told["seconds"], told["speech"]) == (2, 120, 125)


def test_parts_by_speakers_and_overlap() -> None:
    told = summary(rows())
    assert told["speakers"] == {"2": 1, "3": 1}
    assert told["overlaps"] == {LITTLE: 1, MUCH: 1}
    other = told["systems"]["other"]
    assert (other["speakers"]["2"]["mean"], other["speakers"]["3"]["mean"]) == (0, 0.5)
    assert (other["overlaps"][LITTLE]["mean"], other["overlaps"][MUCH]["mean"]) == (0, 0.5)


def test_parts_have_a_rate_with_a_collar_too() -> None:
    """Of three starts and ends of the long one, two seconds are not scored."""
    told = summary(rows())["systems"]["melmill"]
    row = next(row for row in rows() if (row.recording, row.system) == ("long", "melmill"))
    assert row.collar.rate != pytest.approx(row.exact.rate, rel=1e-3)
    assert told["speakers_collar"][str(row.true)]["mean"] == pytest.approx(row.collar.rate)
    assert told["speakers"][str(row.true)]["mean"] == pytest.approx(row.exact.rate)
    assert told["overlaps_collar"].keys() == told["overlaps"].keys()
    assert "DER 0.25 by number of speakers and by overlap, %" in table(summary(rows()))


def test_intervals_are_drawn_over_recordings() -> None:
    told = summary(rows())
    der = told["systems"]["melmill"]["der"]
    assert (der["low"], der["high"]) == (0, pytest.approx(0.1))  # one recording twice, or the other
    assert told["systems"]["melmill"]["speakers"]["2"]["low"] is None  # there is but one
    alike = [score(f"r{k}", s, LONG, f, 100.0) for k in range(9)
             for s, f in (("melmill", LONG[1:]), ("other", LONG[:1]))]  # fmt: skip
    told = summary(alike)
    der = told["systems"]["melmill"]["der"]
    assert (der["low"], der["mean"], der["high"]) == pytest.approx((0.6, 0.6, 0.6))
    assert tuple(told["ahead"]["other"].values()) == pytest.approx((-0.2, -0.2, -0.2))


def test_what_cannot_be_compared_is_refused() -> None:
    for some in (rows()[:3], [], [*rows(), rows()[0]]):
        with pytest.raises(RunError, match="cannot be compared"):
            summary(some)


def test_silence_has_no_rate() -> None:
    told = summary([score("a", "melmill", [], [], 5.0), score("b", "melmill", LONG, [], 100.0)])
    assert told["systems"]["melmill"]["speakers"]["0"]["mean"] is None
    assert told["systems"]["melmill"]["der"]["mean"] == 1
    assert "0 speakers" in table(told)
    told = summary([score("a", name, [], LONG, 5.0) for name in ("melmill", "x")])
    assert told["systems"]["melmill"]["der"]["mean"] is None
    assert table(told).count("-") > 5


def test_without_ours_there_is_nothing_to_be_ahead_of() -> None:
    told = summary([row for row in rows() if row.system == "other"])
    assert told["ours"] is None
    assert told["ahead"] == {}
    assert "How much less" not in table(told)


def test_the_summary_is_sealed_and_the_rows_beside_it(tmp_path: Path) -> None:
    held = rows()
    told = summary(held, recipe="talks")
    json.dumps(told, allow_nan=False)
    save(held, told, tmp_path / "run")
    back = durable.read_json(tmp_path / "run" / "evaluation-talks.json")
    assert table(back) == table(told)
    with (tmp_path / "run" / "evaluation-talks.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert [line["system"] for line in lines] == [row.system for row in held]
    assert lines[3]["exact_missed"] == "12.5"
    save([score("a", "x", LONG, [], 1.0)], {**told, "recipe": "b"}, tmp_path)
    assert "nan" not in (tmp_path / "evaluation-b.csv").read_text()


def test_the_table() -> None:
    text = table(summary(rows(), recipe="talks", parameters={"melmill": 5e5}))
    lines = text.splitlines()
    assert lines[0] == "talks, test: 2 recordings, 2:00, with 2:05 of speech"
    head = next(i for i, line in enumerate(lines) if line.split()[:1] == ["DER"])
    ours, other = (" ".join(line.split()) for line in lines[head + 1 : head + 3])
    assert ours == "melmill 8.0 [0.0, 10.0] 8.0 8.0 0.0 0.0 0.0 3.3 100.0 0.017 500k"
    assert other.startswith("other 10.0 [0.0, 50.0] ")
    assert other.endswith(" 50.0 0.100 -")
    assert "2 speakers" in text
    assert "overlap < 10 %" in text
    assert "few, so it is rough" in text
    assert " ".join(lines[-1].split()) == "other +2.0 [-10.0, 50.0]"


def test_ours_stands_first_then_the_best() -> None:
    held = rows() + [score(r.recording, "best", LONG, LONG, 1.0) for r in rows()[1:3]]
    told = summary(held)
    assert ordered(told) == ["melmill", "best", "other"]
    told["systems"] = dict(sorted(told["systems"].items(), reverse=True))
    assert ordered(told) == ["melmill", "best", "other"]


def test_a_system_is_asked_and_timed() -> None:
    import numpy as np

    def work(wave: np.ndarray) -> list[Turn]:
        sum(range(10**6))
        return [Turn(0, len(wave) / RATE, "x")]

    row = asked("s", System(work), np.zeros(2 * RATE, np.float32), [Turn(0, 2, "a")], "r")
    assert (row.exact.rate, row.seconds, row.system, row.recording) == (0, 2, "s", "r")
    assert 0 < row.computing < 5
    assert math.isnan(System(work).parameters)
