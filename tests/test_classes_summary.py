"""What an evaluation comes to: who is compared with whom, and what a file of it holds."""

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics

from tests.classified import ANSWERS, TRUTH, large, told
from training import durable
from training.classes.scores import margin, scores
from training.classes.summary import confusions, ordered, rival, save, summary
from training.errors import RunError


def test_each_system_has_its_scores_and_its_costs() -> None:
    costs = {"b7": {"parameters": 1e6, "ms": 3.0}}
    one = told(costs=costs)
    labels, held = np.array(TRUTH), np.full((12, 3), (1 - 0.8) / 2)
    held[np.arange(12), ANSWERS["SVM"]] = 0.8
    expected = scores(labels, held, np.arange(12) % 6, ("alarm", "rain", "wind"))
    assert {key: one["systems"]["SVM"][key] for key in expected} == expected
    assert [one["systems"]["b7"][k] for k in ("parameters", "macs", "ms")] == [1e6, None, 3.0]
    assert one["systems"]["SVM"]["ms"] is None
    assert (one["examples"], one["groups"], one["split"], one["folds"]) == (12, 6, "test", None)
    assert one["classes"] == ["alarm", "rain", "wind"]


def test_ours_is_compared_with_all_others() -> None:
    one = told()
    assert set(one["ahead"]) == {"SVM", "majority"}
    labels = np.array(TRUTH)
    ours, other = (np.eye(3)[ANSWERS[name]] for name in ("b7", "SVM"))
    for measure in ("accuracy", "macro_f1"):
        expected = margin(labels, ours, other, np.arange(12) % 6, measure=measure)
        assert one["ahead"]["SVM"][measure] == expected
    with pytest.raises(RunError, match="no answers of ours"):
        summary({}, {"SVM": ours}, "abc", recipe="r", ours="b7")


def test_folds_are_scored_each_by_itself() -> None:
    held = told(folds=3)["systems"]["b7"]["folds"]["macro_f1"]
    fold = np.arange(12) % 6 % 3
    truth, found = np.array(TRUTH), np.array(ANSWERS["b7"])
    each = [metrics.f1_score(truth[fold == i], found[fold == i], average="macro") for i in range(3)]
    assert held["each"] == pytest.approx(each)
    assert held["mean"] == pytest.approx(np.mean(each))
    assert held["deviation"] == pytest.approx(np.std(each, ddof=1))
    assert told()["systems"]["b7"]["folds"] is None


def test_recordings_are_scored_where_they_have_several_clips() -> None:
    held = told(clips=2)["systems"]["b7"]["recordings"]
    assert held["examples"] == 6
    assert held["accuracy"]["mean"] == pytest.approx(
        4 / 6
    )  # of the last, both answers are as likely
    assert told()["systems"]["b7"]["recordings"] is None


def test_the_recording_with_most_clips_is_counted() -> None:
    data = {"labels": np.array([0, 1, 1, 0]), "groups": np.arange(4)}
    systems = {"b7": np.full((4, 2), 0.5)}
    for sources, largest in ((None, None), ("abcd", 1), ("abbb", 3)):
        more = {"sources": np.array(list(sources))} if sources else {}
        found = summary(data | more, systems, ["x", "y"], recipe="r", ours="b7")
        assert found["largest"] == largest


def test_a_file_of_it_is_whole_and_comes_back_as_it_was(tmp_path: Path) -> None:
    one = told(clips=2, folds=2)
    path = save(one, tmp_path)
    assert path == tmp_path / "evaluation-mine.json"
    assert durable.read_json(path) == json.loads(json.dumps(one))


def test_the_order_of_systems_and_the_best_baseline() -> None:
    one = large(5)
    assert ordered(one)[0] == "b7"
    f1 = [one["systems"][name]["macro_f1"]["mean"] for name in ordered(one)[1:]]
    assert f1 == sorted(f1, reverse=True)
    assert rival(told()) == "SVM"
    runs = {"b7": ANSWERS["majority"], "c8": ANSWERS["b7"]}
    assert rival(told(runs | {"SVM": ANSWERS["SVM"]})) == "SVM"
    assert rival(told(runs)) == "c8"
    assert rival(told({"b7": ANSWERS["b7"]})) is None


def test_what_is_taken_for_what_the_most_frequent_first() -> None:
    assert confusions(told()) == [
        {"truth": "rain", "answer": "wind", "clips": 2, "of": 4},
        {"truth": "wind", "answer": "rain", "clips": 1, "of": 4},
    ]
