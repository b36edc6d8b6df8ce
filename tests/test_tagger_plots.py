"""Pictures of a tagger: what is drawn where, and nothing on anything else.

Writes pictures into pytest's folder.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from matplotlib.colors import to_hex  # noqa: E402

from tests.pictured import assert_apart, assert_legend_covers_nothing, assert_png  # noqa: E402
from tests.tagging import large, told  # noqa: E402
from training.pictures import GREY  # noqa: E402
from training.tagger import plots  # noqa: E402
from training.tagger.plots import COLUMNS, SHOWN  # noqa: E402

TAGS = ["drums", "slow", "choir"]
EACH = np.array([[0.1, 0.9, 0.2], [0.3, 0.7, 0.2], [0.8, 0.8, 0.2], [0.8, 0.2, 0.2]])


def words(labels: Any) -> list[str]:
    return [label.get_text() for label in labels]


# ---- tags over time ----------------------------------------------------------------------------


def test_a_taggram_has_time_across_and_the_likeliest_tags_on_top() -> None:
    figure = plots.taggram_figure(EACH, TAGS, 13.5, 3.0, "a song.mp3")
    left, right, bar = figure.axes
    (image,) = left.get_images()
    assert np.asarray(image.get_array()) == pytest.approx(EACH.T[[1, 0, 2]])
    assert image.get_clim() == (0, 1)
    assert image.get_extent() == [0, 12, 2.5, -0.5]  # the first row on top, four patches of 3 s
    assert image.get_interpolation() == "nearest"
    assert words(left.get_yticklabels()) == ["slow", "drums", "choir"]
    assert left.get_xlim() == (0, 13.5)
    assert left.get_xlabel() == "time, s"
    assert [patch.get_width() for patch in right.patches] == pytest.approx([0.65, 0.5, 0.2])
    assert words(right.texts) == [" 65 %", " 50 %", " 20 %"]
    assert [text.get_position()[1] for text in right.texts] == [0, 1, 2]
    assert figure.get_suptitle() == "a song.mp3"
    assert bar.get_xlabel() == "probability"


def test_an_end_that_was_not_heard_is_grey() -> None:
    left = plots.taggram_figure(EACH, TAGS, 13.5, 3.0, "x").axes[0]
    assert to_hex(left.get_facecolor()).upper() == GREY
    assert left.get_images()[0].get_extent()[1] < left.get_xlim()[1] == 13.5
    short = plots.taggram_figure(EACH[:1], TAGS, 0.4, 3.0, "x").axes[0]
    assert short.get_xlim() == (0, 3.0)  # a track that was repeated


def test_of_many_tags_the_likeliest_twenty_are_shown() -> None:
    held = np.random.default_rng(0).random((7, 50))
    names = [f"tag {i}" for i in range(50)]
    left, right, _ = plots.taggram_figure(held, names, 21.0, 3.0, "x").axes
    order = np.argsort(-held.mean(0), kind="stable")[:SHOWN]
    assert words(left.get_yticklabels()) == [names[k] for k in order]
    assert len(right.patches) == SHOWN == 20
    assert np.asarray(left.get_images()[0].get_array()).shape == (20, 7)


def test_a_long_track_has_no_more_columns_than_a_picture_and_keeps_its_mean() -> None:
    held = np.random.default_rng(0).random((3 * COLUMNS, 2))
    found = plots.thinned(held)
    assert found == pytest.approx(held.reshape(COLUMNS, 3, 2).mean(1))
    odd = plots.thinned(held[: COLUMNS + 7])
    assert odd.shape == (COLUMNS, 2)
    assert odd.mean(0) == pytest.approx(held[: COLUMNS + 7].mean(0), abs=0.01)
    assert plots.thinned(held[:COLUMNS]) is not held
    assert np.array_equal(plots.thinned(held[:COLUMNS]), held[:COLUMNS])
    left = plots.taggram_figure(held, ["a", "b"], 9 * COLUMNS, 3.0, "x").axes[0]
    (image,) = left.get_images()
    assert np.asarray(image.get_array()).shape == (2, COLUMNS)
    assert image.get_extent()[1] == 9 * COLUMNS  # seconds, however many columns


# ---- each tag ----------------------------------------------------------------------------------


def test_tags_from_best_to_worst_beside_the_baseline_and_chance() -> None:
    one = told()
    figure = plots.tags_figure(one)
    (axes,) = figure.axes
    assert words(axes.get_yticklabels()) == ["drums (6)", "slow (4)"]  # two cannot be told apart
    ours, other = axes.containers
    for bars, name in ((ours, "b7"), (other, "MFCC + LR")):
        held = one["systems"][name]["tags"]
        expected = [held[tag]["average_precision"] for tag in ("drums", "slow")]
        assert [bar.get_width() for bar in bars] == pytest.approx(expected)
    assert ours[0].get_width() > ours[1].get_width()
    assert all(a.get_y() < b.get_y() for a, b in zip(ours, other, strict=True))
    low, high = axes.get_ylim()
    assert low > high  # the best on top
    (chance,) = axes.collections
    each = [segment[:, 0].tolist() for segment in chance.get_segments()]
    assert each == [pytest.approx([6 / 12] * 2), pytest.approx([4 / 12] * 2)]
    means = [one["systems"][name]["pr_auc"]["mean"] for name in ("b7", "MFCC + LR")]
    (legend,) = figure.legends
    said = [f"b7: {means[0]:.3f}", f"MFCC + LR: {means[1]:.3f}", "chance"]
    assert sorted(words(legend.get_texts())) == sorted(said)
    assert legend.get_title().get_text() == "mine, test: 12 tracks; mean over tags"


def test_without_that_baseline_it_stands_beside_the_next_best_or_alone() -> None:
    two = plots.tags_figure(told({"b7": "b7", "other": "how often", "twin": "b7"}))
    assert any(text.startswith("twin: ") for text in words(two.legends[0].get_texts()))
    assert len(two.axes[0].containers) == 2
    alone = plots.tags_figure(told({"b7": "b7"})).axes[0]
    (bars,) = alone.containers
    middle = [bar.get_y() + bar.get_height() / 2 for bar in bars]
    assert middle == pytest.approx([0, 1])  # on the line of its name


def test_no_tag_to_tell_apart_is_a_picture_all_the_same(tmp_path: Path) -> None:
    one = told()
    for held in one["systems"].values():
        for tag in held["tags"].values():
            tag["average_precision"] = None
    plots.tags(one, tmp_path / "a.png")
    assert_png(tmp_path / "a.png")


# ---- as files ----------------------------------------------------------------------------------


def test_files(tmp_path: Path) -> None:
    plots.tags(told(), tmp_path / "a.png")
    plots.taggram(EACH, TAGS, 13.5, 3.0, "a", tmp_path / "b.png")
    for name in ("a", "b"):
        assert_png(tmp_path / f"{name}.png", 700)
    assert sorted(found.name for found in tmp_path.iterdir()) == ["a.png", "b.png"]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", [r"a $\foo$.mp3", "Ca$h and $ign", "歌.mp3", "\\n^{_$", "%s {0}"])
def test_names_are_drawn_as_they_are(name: str, tmp_path: Path) -> None:
    """No mathematics, and no word on what a font lacks."""
    plots.taggram(EACH, [name, "b", "c"], 12.0, 3.0, name, tmp_path / "a.png")
    figure = plots.taggram_figure(EACH, [name, "b", "c"], 12.0, 3.0, name)
    assert figure.get_suptitle() == name
    one = large(2, names=[name, "b"])
    plots.tags(one, tmp_path / "b.png")
    labels = plots.tags_figure(one).axes[0].get_yticklabels()
    assert any(text.startswith(f"{name} (") for text in words(labels))
    assert not any(label.get_parse_math() for label in labels)
    for x in "ab":
        assert_png(tmp_path / f"{x}.png")


@pytest.mark.parametrize("size", [1, 2, 8, 25, 26, 50])
def test_no_words_of_the_tags_lie_on_each_other(size: int) -> None:
    assert_apart(plots.tags_figure(large(size)))


@pytest.mark.parametrize("size", [1, 3, 20, 50])
@pytest.mark.parametrize("patches", [1, 500])
def test_no_words_of_a_taggram_lie_on_each_other(size: int, patches: int) -> None:
    held = np.random.default_rng(0).random((patches, size))
    names = [f"a kind of music {i}" for i in range(size)]
    assert_apart(plots.taggram_figure(held, names, patches * 2.992, 2.992, "a" * 40 + ".flac"))


def test_the_legend_covers_no_bars() -> None:
    assert_legend_covers_nothing(plots.tags_figure(told()))
