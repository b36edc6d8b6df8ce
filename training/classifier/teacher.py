"""What a trained classifier answers for the examples it learnt from, for a student to learn from.

Reads and writes ``teacher.logits``: a sealed file, without pickle, of the logits of every position
that was in the run's training part, with the key of the index whose positions they are. Does:
refuses answers for other data, for other classes, or that miss an example; averages several
teachers' probabilities.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from training import durable
from training.data.index import Index
from training.durable import hash_of
from training.engine.checkpoint import load, pack
from training.errors import Changed, Damaged

FILE = "teacher.logits"
TEACHER = "teacher"  # the answers' name in a batch
HELD = {"run", "data", "classes", "logits"}  # in the file


def write(path: Path, index: Index, run: str, part: np.ndarray, logits: np.ndarray) -> None:
    """`logits` (examples of the part, classes) float32 of the positions in the mask `part`."""
    held = np.full((len(part), len(index.classes)), np.nan, np.float32)
    held[part] = logits
    told = {"run": run, "data": index.key, "classes": list(index.classes), "logits": held}
    durable.write(path, pack(told))


def taught(
    teachers: Sequence[Sequence[str]], index: Index, part: np.ndarray
) -> dict[str, np.ndarray]:
    """The mean of the teachers' probabilities (positions, classes), under its name; nothing without
    teachers. Each teacher is a file and its hash; `part` marks the positions that are learnt from.
    """
    if not teachers:
        return {}
    held = np.mean([_answers(Path(path), key, index, part) for path, key in teachers], axis=0)
    return {TEACHER: held.astype(np.float32)}


def _answers(path: Path, key: str, index: Index, part: np.ndarray) -> np.ndarray:
    """One teacher's probabilities; 0 outside of the part."""
    do = "write it again with make teacher"
    if hash_of(path) != key:
        raise Changed("a teacher's answers have changed since the run began", path, do=do)
    try:
        told = load(path)
    except Damaged as error:
        whole = f"a whole {FILE}"
        raise Damaged("no teacher's answers, or damaged ones", path, whole, do=do) from error
    if not isinstance(told, dict) or set(told) != HELD:
        raise Changed("no teacher's answers", path, f"a {FILE}", "another file", do)
    if told["data"] != index.key:
        got = f"those of {told['data'][:16]}"
        raise Changed("answers for other data", path, f"the index {index.key[:16]}", got, do)
    if told["classes"] != list(index.classes):
        raise Changed("a teacher of other classes", path, index.classes, told["classes"], do)
    logits = told["logits"].astype(np.float64)
    missing = int((~np.isfinite(logits[part])).any(-1).sum())
    if missing:
        raise Changed(
            "a teacher that has not learnt from all of these examples",
            path,
            f"answers for {int(part.sum())}",
            f"{missing} missing",
            "name teachers of the same fold",
        )
    held = np.zeros(logits.shape)
    held[part] = np.exp(logits[part] - logits[part].max(-1, keepdims=True))
    held[part] /= held[part].sum(-1, keepdims=True)
    return held
