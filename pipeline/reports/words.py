"""Numbers and names as a page shows them.

Reads and writes nothing. Does: rounds, adds units, and makes any text harmless in HTML: a file may
be called `<script>`, hold a line break, a mark that turns the writing round, or half a character.
"""

import html

LONGEST = 110  # characters of a name that are shown: a path may have thousands


def safe(text: object) -> str:
    """Text for HTML, between tags or in a quoted attribute; what has no picture is spelt out."""
    plain = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in str(text))
    return html.escape(plain, quote=True)


def short(text: str) -> str:
    """A name, its middle left out where it is long."""
    half = LONGEST // 2
    return text if len(text) <= LONGEST else f"{text[:half]} ... {text[-half:]}"


def name(text: str) -> str:
    """A path or a name for HTML."""
    return safe(short(text))


def whole(number: float) -> str:
    """12345 as 12,345."""
    return f"{number:,.0f}"


def brief(number: float) -> str:
    """Three digits that count."""
    return whole(number) if abs(number) >= 100 else f"{number:.3g}"


def length(seconds: float) -> str:
    """A length of sound: 0.42 s, 12.3 s, 1 min, 4 min 5 s, 3.2 h."""
    if round(seconds) < 60:
        return f"{seconds:.3g} s"
    if seconds < 5400:
        minutes, rest = divmod(round(seconds), 60)
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    return f"{brief(seconds / 3600)} h"


def clock(seconds: float) -> str:
    """A place in a recording: 0:02, 12:30.5."""
    rest = f"{seconds % 60:04.1f}"
    return f"{int(seconds // 60)}:{rest.removesuffix('.0')}"


def size(count: float) -> str:
    """Bytes."""
    return f"{brief(count / 1e9)} GB" if count >= 1e9 else f"{brief(count / 1e6)} MB"


def hertz(value: float) -> str:
    return f"{value / 1000:g} kHz" if value >= 1000 else f"{value:g} Hz"


def thousandths(value: float) -> tuple[float, str]:
    """A deviation, however small, as a number and its power of ten: 0.02 "", 9.5 " × 10⁻⁷"."""
    if value == 0 or value >= 0.001:
        return value, ""
    digits, power = f"{value:.1e}".split("e")
    return float(digits), f" × 10{str(int(power)).translate(_RAISED)}"


_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
