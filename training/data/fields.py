"""Fields of an index by what they hold.

Reads and writes nothing: it is given an index. Does: finds the one that is meant, or says what is
there.
"""

from training.data.index import DataError, Field, Index


def spectrum(index: Index) -> Field:
    """What nets look at: the only field of frames and mels."""
    found = [field for field in index.fields if field.axes == ("frame", "mel")]
    if len(found) != 1:
        got = ", ".join(field.name for field in index.fields)
        do = "name a recipe such as noise-classifier"
        raise DataError("not one spectrogram", index.folder, "a field of frames and mels", got, do)
    return found[0]
