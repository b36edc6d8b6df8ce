"""What an evaluation of taggers comes to: who is compared with whom, and what a file of it holds.

Writes one file into pytest's folder.
"""

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics

from tests.tagging import LIKELY, NAMES, large, likely, told, truth_of
from training import durable
from training.errors import RunError
from training.tagger.scores import MEASURES, drawn, interval, scores
from training.tagger.summary import ordered, save, summary

THEIRS = {"pr_auc": metrics.average_precision_score, "roc_auc": metrics.roc_auc_score}


def theirs(measure: str, system: str) -> float:
    """scikit-learn's mean over the two tags that can be told apart, over tracks."""
    truth, held = truth_of(), likely(system)
    return float(np.mean([THEIRS[measure](truth[:, k], held[:, k]) for k in (0, 1)]))


def test_each_system_has_its_scores_by_track_and_its_costs() -> None:
    one = told(costs={"b7": {"parameters": 1e6, "ms": 3.0}})
    assert set(one["systems"]) == set(LIKELY)
    for name, held in one["systems"].items():
        for measure in MEASURES:
            assert held[measure]["mean"] == pytest.approx(theirs(measure, name))
        assert list(held["tags"]) == list(NAMES)
    assert [one["systems"]["b7"][k] for k in ("parameters", "ms")] == [1e6, 3.0]
    assert [one["systems"]["how often"][k] for k in ("parameters", "ms")] == [None, None]
    assert (one["recipe"], one["ours"], one["tags"]) == ("mine", "b7", list(NAMES))
    assert (one["tracks"], one["patches"], one["groups"]) == (12, 24, 6)


def test_its_scores_are_those_of_tracks_in_any_number_of_patches() -> None:
    one, three = told(patches=1), told(patches=3)
    truth, held, groups = truth_of(), likely("b7"), np.arange(12) % 6
    expected = scores(truth, held, drawn(truth, held, groups), NAMES)
    assert {key: one["systems"]["b7"][key] for key in expected} == expected
    assert three["patches"] == 36
    for name in LIKELY:
        alone, together = (found["systems"][name] for found in (one, three))
        for measure in MEASURES:
            assert together[measure] == pytest.approx(alone[measure])


def test_ours_is_compared_with_all_others_on_the_same_draws() -> None:
    one, truth, groups = told(), truth_of(), np.arange(12) % 6
    assert set(one["ahead"]) == {"MFCC + LR", "how often"}
    for other, gaps in one["ahead"].items():
        draws = [drawn(truth, likely(name), groups) for name in ("b7", other)]
        for measure in MEASURES:
            mean = theirs(measure, "b7") - theirs(measure, other)
            expected = interval(mean, draws[0][measure] - draws[1][measure])
            assert gaps[measure] == pytest.approx(expected)
            assert gaps[measure]["low"] <= gaps[measure]["mean"] <= gaps[measure]["high"]
    # Of one that knows nothing, roc_auc is a half in every draw: the margin is ours, moved.
    ours, gap = one["systems"]["b7"]["roc_auc"], one["ahead"]["how often"]["roc_auc"]
    assert gap["low"] == pytest.approx(ours["low"] - 0.5)


def test_a_system_is_not_ahead_of_itself_by_anything() -> None:
    one = told({"b7": "b7", "twin": "b7", "other": "MFCC + LR"})
    assert one["ahead"]["twin"] == {m: {"mean": 0, "low": 0, "high": 0} for m in MEASURES}
    other = told({"other": "MFCC + LR", "b7": "b7"})
    for measure in MEASURES:
        there, back = one["ahead"]["other"][measure], other["ahead"]["b7"][measure]
        assert back["mean"] == pytest.approx(-there["mean"])
        assert (back["low"], back["high"]) == pytest.approx((-there["high"], -there["low"]))


def test_one_group_has_no_interval() -> None:
    one = told(groups=1)
    for measure in MEASURES:
        ours, gap = one["systems"]["b7"][measure], one["ahead"]["how often"][measure]
        assert ours == {"mean": pytest.approx(theirs(measure, "b7")), "low": None, "high": None}
        assert gap["mean"] == pytest.approx(theirs(measure, "b7") - theirs(measure, "how often"))
        assert gap["low"] is gap["high"] is None
    assert one["groups"] == 1
    assert told(groups=2)["systems"]["b7"]["pr_auc"]["low"] is not None


def test_what_cannot_be_compared_is_refused() -> None:
    held = likely("b7")
    data = {"tags": truth_of(), "groups": np.arange(12), "sources": np.arange(12)}
    with pytest.raises(RunError, match="no answers of ours; expected b7; got MFCC"):
        summary(data, {"MFCC": held}, NAMES, recipe="r", ours="b7")
    with pytest.raises(RunError, match="no answers of ours; expected b7; got none"):
        summary(data, {}, NAMES, recipe="r", ours="b7")
    with pytest.raises(RunError, match="answers that fit no tags"):
        summary(data, {"b7": held, "x": held[1:]}, NAMES, recipe="r", ours="b7")
    with pytest.raises(RunError, match="answers that are no numbers"):
        summary(data, {"b7": held, "x": held * np.nan}, NAMES, recipe="r", ours="b7")


def test_a_file_of_it_is_whole_and_comes_back_as_it_was(tmp_path: Path) -> None:
    one = told()
    path = save(one, tmp_path)
    assert path == tmp_path / "evaluation-mine.json"
    assert durable.read_json(path) == json.loads(json.dumps(one, allow_nan=False))


def test_ours_comes_first_and_the_others_by_average_precision() -> None:
    one = large(5)
    assert ordered(one)[0] == "b7"
    held = [one["systems"][name]["pr_auc"]["mean"] for name in ordered(one)[1:]]
    assert held == sorted(held, reverse=True)
    assert len(held) == 3
    assert ordered(told({"x": "how often", "b7": "b7", "twin": "b7"})) == ["x", "b7", "twin"]
    shuffled = json.loads(json.dumps(one, sort_keys=True))  # as it comes out of a file
    assert ordered(shuffled) == ordered(one)
