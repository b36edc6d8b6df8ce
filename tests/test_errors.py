"""Errors: one line of one shape, exit codes, and rejections that cross processes.

Reads and writes nothing.
"""

import pickle
import re
from pathlib import Path

import pytest

from pipeline.errors import REASONS, MelmillError, Rejected, TooManyRejected, UsageError


def test_the_line_says_what_where_expected_got_and_what_to_do() -> None:
    err = MelmillError("too small", where=Path("/a/b"), expected=3, got=2, do="make it larger")
    assert str(err) == "/a/b: too small; expected 3; got 2. Make it larger"


def test_zero_and_false_are_said_and_nothing_is_left_out() -> None:
    assert str(MelmillError("bad", expected=0, got=False)) == "bad; expected 0; got False"
    assert str(MelmillError("bad")) == "bad"


def test_exit_codes() -> None:
    codes = {kind: kind("x").exit_code for kind in (MelmillError, UsageError, TooManyRejected)}
    assert codes == {MelmillError: 1, UsageError: 2, TooManyRejected: 3}


def test_a_rejection_survives_a_process_boundary() -> None:
    again = pickle.loads(pickle.dumps(Rejected("truncated", "at frame 3")))
    assert (again.code, again.detail, str(again)) == (
        "truncated", "at frame 3", "truncated: at frame 3",
    )  # fmt: skip


def test_an_unknown_code_is_a_mistake_of_ours() -> None:
    with pytest.raises(ValueError, match="unknown reject code 'nonsense'"):
        Rejected("nonsense")


def test_every_code_that_the_source_uses_has_its_meaning_and_every_meaning_is_used() -> None:
    source = "".join(
        path.read_text() for path in Path(__file__).parent.parent.glob("pipeline/**/*.py")
    )
    raised = set(re.findall(r"""Rejected\(\s*"([a-z_]+)",""", source))
    assert raised <= set(REASONS)
    body = source.replace(
        Path(__file__).parent.parent.joinpath("pipeline/errors.py").read_text(), ""
    )
    unused = {code for code in REASONS if f'"{code}' not in body}
    assert not unused
