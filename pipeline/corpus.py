"""The corpus after scan and decode: what is used, what is rejected and why, who is in which split.

Reads: a manifest, the decoded packs, a splits file if one is given. Does: joins them; identical
audio counts once; checks that no group and no recording stands in two splits. Writes: splits.csv,
which can be published and given back with SPLITS=, and rejected.csv.
"""

import csv
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

from pipeline import decode
from pipeline.decode import Decoded
from pipeline.disk import store
from pipeline.errors import REASONS, TooManyRejected, UsageError
from pipeline.layouts import lists, rttm, splits
from pipeline.scan import Manifest, Record

# Left out by choice or counted under another name: these say nothing against the data.
HARMLESS = {"duplicate", "duplicate_audio", "unlisted", "not_regular"}
REJECTED = "rejected.csv"


@dataclass(frozen=True)
class Corpus:
    records: list[Record]  # every file found, in the order of their paths
    decoded: Decoded
    split_of: Mapping[str, str]  # group -> train, valid, test
    key: str  # changes when anything above does

    def lists(self) -> dict[str, bytes]:
        """The files for people: who is in which split, and what was rejected and why."""
        return {
            "splits.csv": splits.write_csv(self.split_of).encode("utf-8", "surrogateescape"),
            REJECTED: _rejections(self.records),
        }

    def used(self) -> list[Record]:
        return [record for record in self.records if not record.reject]

    def rejected(self) -> Counter[str]:
        return Counter(record.reject for record in self.records if record.reject)

    def split(self, record: Record) -> str:
        return self.split_of[group(record)]


def group(record: Record) -> str:
    """A recording without a group is its own."""
    return record.group or record.id


def _rejections(records: Sequence[Record]) -> bytes:
    told = io.StringIO()
    table = csv.writer(told, lineterminator="\n")
    table.writerow(["path", "reason", "detail", "meaning"])
    rows = [(r.path, r.reject, r.detail, REASONS[r.reject]) for r in records if r.reject]
    table.writerows(rows)
    return told.getvalue().encode("utf-8", "backslashreplace")


def gather(manifest: Manifest, decoded: Decoded, artifacts: Path, given: str) -> Corpus:
    """Join the stages and store the lists."""
    found = join(manifest, decoded, given)
    for name, data in found.lists().items():
        store.write_if_changed(artifacts / name, data)
    return found


def join(manifest: Manifest, decoded: Decoded, given: str) -> Corpus:
    """`given` is "", "groups" (ignore official splits) or a splits file."""
    records = _outcomes(manifest, decoded)
    items = [
        splits.Item(
            r.id, r.path, group(r), _told(r), r.role, r.split, r.fold, _seconds(r, decoded)
        )  # fmt: skip
        for r in records
        if not r.reject
    ]
    if given == "groups":
        items = [replace(item, split="", fold=None) for item in items]
    told = read_splits(Path(given)) if given not in ("", "groups") else None
    split_of = splits.assign(items, told)
    splits.check_leaks(items, split_of)
    key = store.digest([manifest.key, decoded.key, splits.write_csv(split_of)])
    return Corpus(records, decoded, split_of, key)


def _told(record: Record) -> str:
    """What a recording is labelled with: recordings of a class, or with tags, have splits of their
    own, for others would leave a model without a test."""
    return record.label or ("with tags" if record.role == "labelled" and record.tags else "")


def _seconds(record: Record, decoded: Decoded) -> float:
    recording = decoded.recordings[record.id]
    return recording.frames / recording.rate


def read_splits(path: Path) -> dict[str, str]:
    """Group -> split, from a file somebody gives."""
    try:
        text = lists.read_plain(path).decode("utf-8-sig", "surrogateescape")
        return splits.read_csv(text, str(path))
    except OSError as err:
        raise UsageError(
            f"cannot read the splits: {err.strerror}",
            where=path,
            do="SPLITS= takes a file of `group,split` lines, or the word groups",
        ) from err


def strangers(found: Corpus, given: str) -> list[str]:
    """Groups that a given splits file names and the data does not have: misspelt, perhaps."""
    told = read_splits(Path(given)) if given not in ("", "groups") else {}
    return sorted(told.keys() - found.split_of.keys())


def _outcomes(manifest: Manifest, decoded: Decoded) -> list[Record]:
    records = []
    for record in manifest.records:
        why = decoded.rejected.get(record.id)
        if not record.reject and why:
            record = replace(record, reject=why[0], detail=why[1])
        elif not record.reject and not record.frames:  # no length was declared: it is known now
            late = rttm.late(record.segments, _seconds(record, decoded))
            record = replace(record, reject="bad_list_row" if late else "", detail=late)
        records.append(record)
    path_of = {r.id: r.path for r in records if not r.reject}
    twins = decode.twins(decoded, list(path_of))
    return [
        replace(r, reject="duplicate_audio", detail=f"same samples as {path_of[twins[r.id]]}")
        if not r.reject and r.id in twins
        else r
        for r in records
    ]


def check_rejected(corpus: Corpus, limit: float) -> None:
    """More bad files than `limit` percent is an error: something is wrong with the folder."""
    bad = {r.path: r.reject for r in corpus.records if r.reject and r.reject not in HARMLESS}
    share = 100 * len(bad) / max(1, len(corpus.records))
    if share > limit:
        reasons = ", ".join(f"{n} {code}" for code, n in Counter(bad.values()).most_common())
        first = min(bad)
        raise TooManyRejected(
            f"{len(bad)} of {len(corpus.records)} files rejected ({reasons}; the first is "
            f"{ascii(first)[1:-1]}, {REASONS[bad[first]]})",
            expected=f"at most {limit:g} %",
            got=f"{share:.1f} %",
            do="see rejected.csv in the artifacts folder for each; MAX_REJECTED=100 goes on",
        )


def refuse_all(records: Sequence[Record], artifacts: Path) -> NoReturn:
    """Every file was rejected, so that there is nothing to gather: the list for people says why,
    and so does the error, with the first file of each reason."""
    store.write_if_changed(artifacts / REJECTED, _rejections(records))
    first = {r.reject: r for r in reversed(records)}
    reasons = [
        f"{n} {code} ({ascii(first[code].path)[1:-1]}: {first[code].detail or REASONS[code]})"
        for code, n in Counter(r.reject for r in records).most_common()
    ]
    raise TooManyRejected(
        f"all {len(records)} files rejected: {', '.join(reasons)}",
        do="see rejected.csv in the artifacts folder for each",
    )
