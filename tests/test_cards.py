"""What the cards share, as Markdown that shows every key."""

from training.cards import configuration, data_grid, grid, measured, versions

FACTS = {
    "config": {
        "net": "mn", "augment": {"mixup": 0.3, "masks": [2, 3]},
        "teacher": None, "on": False, "of": [],
    },
    "data": {"mine": "0123456789abcdef" * 4, "other": "f" * 64},
    "setup": {"threads": 2, "ranks": 1},
    "versions": {"numpy": "2.4", "keras": "3.15"},
}  # fmt: skip


def test_a_table_has_a_head() -> None:
    assert grid([["a", "b"], ["1", "2"]]) == "| a | b |\n|---|---|\n| 1 | 2 |"


def test_the_data_and_what_was_measured_on_it() -> None:
    counts = {"mine": {"examples": {"train": 7, "test": 2}}}
    lines = data_grid(FACTS, {"mine": "2 clips"}, counts).splitlines()
    assert lines[0] == "| recipe | index key | train | valid | test | measured on |"
    assert lines[2] == "| `mine` | `0123456789abcdef` | 7 | - | 2 | 2 clips |"
    assert lines[3] == f"| `other` | `{'f' * 16}` | - | - | - | - |"


def test_every_key_of_a_configuration() -> None:
    lines = configuration(FACTS["config"]).splitlines()
    assert lines == [
        "## Configuration", "", "- `net`: mn", "- `augment.mixup`: 0.3", "- `augment.masks`: 2, 3",
        "- `teacher`: off", "- `on`: False", "- `of`: none",
    ]  # fmt: skip


def test_tables_stand_as_they_are_printed() -> None:
    text = measured({"mine": "a  1\nb  2\n", "other": "c\n"})
    assert text == ("## Measured\n\n### mine\n\n```\na  1\nb  2\n```\n\n### other\n\n```\nc\n```")
    assert "`make evaluate`" in measured({})


def test_versions_in_the_order_of_their_names() -> None:
    assert versions(FACTS, "b7", "2001-02-03") == (
        "## Versions\n\nRun `b7`: processes 1, threads 2; keras 3.15, numpy 2.4. "
        "Card of 2001-02-03."
    )
