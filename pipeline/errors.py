"""What can go wrong, in three kinds.

Reads and writes nothing. Does: names every reason a file can be rejected for, and gives every
error one shape: what happened, where, expected, got, what to do.
"""

import re

# Every file found is used or stands in the report under one of these codes.
REASONS = {
    "not_regular": "a link, pipe, device or folder where a file was expected",
    "outside_root": "the path leaves the data folder",
    "missing": "named in a list but not on disk",
    "unreadable": "the operating system refused to read it",
    "changed": "its bytes changed while it was being read",
    "empty": "no bytes, or a header without audio",
    "not_audio": "no decoder recognises its content",
    "unsupported": "audio, but in a codec that needs an extra which is not installed",
    "truncated": "fewer samples than its header declares, or cut inside the data",
    "bad_header": "the header contradicts the file (sizes, rate, channels)",
    "bad_rate": "sample rate outside 4 to 384 kHz",
    "too_many_channels": "more than 64 channels",
    "too_short": "shorter than the stated minimum",
    "too_long": "longer than the stated maximum, or expands far beyond its size (a bomb)",
    "not_finite": "NaN or infinite samples",
    "out_of_range": "samples far outside full scale (beyond 8.0)",
    "decoder_error": "the decoder gave up inside the file",
    "decoder_crash": "the decoder killed its worker process twice",
    "timeout": "decoding took longer than its time limit",
    "duplicate": "the same bytes as another file that is used",
    "duplicate_audio": "the same samples as another file that is used, in another form",
    "unlisted": "audio in the folder that the corpus' own list does not name",
    "bad_list_row": "the list's row for it is wrong (times, role, split)",
}


LONGEST = 1000  # characters of each part of a message
_CONTROL = re.compile("[\0-\x1f\x7f-\x9f\u2028\u2029]")


def plain(text: object) -> str:
    """On one line, with nothing that moves a terminal's cursor, and of a length to be read: lists
    and headers are quoted in messages, and may hold anything."""
    told = str(text)
    told = _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), told)
    return told if len(told) <= LONGEST else f"{told[:LONGEST]}..."


class MelmillError(Exception):
    """Something stops the run. The text is one line and says what to do."""

    exit_code = 1

    def __init__(
        self,
        what: str,
        *,
        where: object = "",
        expected: object = "",
        got: object = "",
        do: str = "",
    ) -> None:
        parts = [f"{plain(where)}: {plain(what)}" if str(where) else plain(what)]
        parts += [f"expected {plain(expected)}"] if str(expected) else []
        parts += [f"got {plain(got)}"] if str(got) else []
        super().__init__("; ".join(parts) + (f". {do[0].upper()}{do[1:]}" if do else ""))


class UsageError(MelmillError):
    """A wrong option, recipe or list: nothing was built."""

    exit_code = 2


class TooManyRejected(MelmillError):
    """More files were rejected than the limit allows."""

    exit_code = 3


class Rejected(Exception):
    """One file cannot be used; it is listed under its code and the run goes on."""

    def __init__(self, code: str, detail: str = "") -> None:
        if code not in REASONS:
            raise ValueError(f"unknown reject code {code!r}; one of {', '.join(REASONS)}")
        detail = plain(detail)
        super().__init__(f"{code}: {detail}" if detail else code)
        self.code = code
        self.detail = detail

    def __reduce__(self) -> tuple[type["Rejected"], tuple[str, str]]:
        return Rejected, (self.code, self.detail)  # two arguments, so that it crosses processes
