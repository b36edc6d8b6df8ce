"""The corpus: outcomes of scan and decode joined, twins once, nobody in two splits.

Reads and writes in pytest's own folder.
"""

from dataclasses import replace
from pathlib import Path

import pytest

from pipeline import corpus, decode
from pipeline.audio.pcm import Recording
from pipeline.corpus import Corpus, check_rejected, gather
from pipeline.decode import Decoded
from pipeline.errors import MelmillError, TooManyRejected, UsageError
from pipeline.scan import Manifest, Record
from tests.made import record


def decoded(records: list[Record], **rejected: tuple[str, str]) -> Decoded:
    """Every record decoded but those rejected by name of the path."""
    bad = {r.id: rejected[r.path] for r in records if r.path in rejected}
    found = {
        r.id: Recording(0, 100, 8000, "int16", "x", (k,))
        for k, r in enumerate(records)
        if r.id not in bad
    }
    return Decoded(Path("pcm"), "decoded", dict.fromkeys(found, "00.pcm"), found, bad)


def joined(folder: Path, records: list[Record], given: str = "", **bad: tuple[str, str]) -> Corpus:
    return gather(Manifest("csv", records, key="key"), decoded(records, **bad), folder, given)


def test_found_is_used_and_rejected(tmp_path: Path) -> None:
    records = [record(f"{k}", group=f"g{k}") for k in range(6)]
    records[1] = replace(records[1], reject="empty", detail="no bytes")
    found = joined(tmp_path, records, **{"3": ("truncated", "at 7")})
    assert [r.path for r in found.used()] == ["0", "2", "4", "5"]
    assert found.rejected() == {"empty": 1, "truncated": 1}
    assert found.records[3].detail == "at 7"
    assert len(found.records) == len(found.used()) + sum(found.rejected().values())


def test_a_scans_own_reason_stays(tmp_path: Path) -> None:
    records = [record("a"), record("b")]
    records[0] = replace(records[0], reject="duplicate")
    assert joined(tmp_path, records, a=("truncated", "")).records[0].reject == "duplicate"


@pytest.mark.parametrize(("begins", "reject"), [(99 / 8000, ""), (0.0125, "bad_list_row")])
def test_times_are_held_against_a_length_that_only_decoding_told(
    tmp_path: Path, begins: float, reject: str
) -> None:
    told = replace(record("a"), frames=0, segments=((begins, 1.0, "x"),), segment_kind="label")
    (found,) = joined(tmp_path, [told]).records
    assert found.reject == reject
    assert not reject or "begins at 0.0125 s, the recording ends at 0.0125 s" in found.detail


def test_the_same_samples_count_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    records = [record(name, group=name) for name in ("a", "b", "c", "d")]
    monkeypatch.setattr(decode, "_same", lambda *_: True)
    done = decoded(records)
    done.recordings[records[2].id] = done.recordings[records[0].id]
    found = gather(Manifest("csv", records), done, tmp_path, "")
    assert found.records[2].reject == "duplicate_audio"
    assert found.records[2].detail == "same samples as a"
    assert set(found.split_of) == {"a", "b", "d"}


def test_the_same_bytes_in_two_splits_stop_the_build(tmp_path: Path) -> None:
    """The scan counts them once; should it ever not, nothing is built."""
    (tmp_path / "told.csv").write_text("group,split\na,train\nb,test\n")
    records = [record("a", group="a"), record("c", group="c")]
    records.append(replace(records[0], path="b", group="b"))
    with pytest.raises(MelmillError, match="leak: the same bytes stand in train and test"):
        joined(tmp_path, records, str(tmp_path / "told.csv"))


def test_a_recording_without_a_group_is_its_own() -> None:
    assert corpus.group(record("a")) == record("a").id
    assert corpus.group(record("a", group="ann")) == "ann"


def test_groups_of_a_splits_file_that_the_data_lacks_are_named(tmp_path: Path) -> None:
    (tmp_path / "told.csv").write_text("group,split\ng0,test\nbob,train\nann,valid\n")
    records = [record(f"{k}", group=f"g{k}") for k in range(6)]
    found = joined(tmp_path, records, str(tmp_path / "told.csv"))
    assert corpus.strangers(found, str(tmp_path / "told.csv")) == ["ann", "bob"]
    assert corpus.strangers(found, "groups") == corpus.strangers(found, "") == []


def test_splits_are_published_and_can_be_given_back(tmp_path: Path) -> None:
    odd = b"\xff".decode("utf-8", "surrogateescape")
    records = [record(f"{k}", group=f"g{k}{odd}") for k in range(20)]
    first = joined(tmp_path, records)
    table = tmp_path / "kept.csv"
    table.write_bytes((tmp_path / "splits.csv").read_bytes())
    assert joined(tmp_path, records, str(table)).split_of == first.split_of
    flipped = table.read_bytes().replace(b'"test"', b'"x"').replace(b'"train"', b'"test"')
    table.write_bytes(flipped.replace(b'"x"', b'"train"'))
    other = joined(tmp_path, records, str(table))
    assert other.key != first.key
    swap = {"train": "test", "test": "train", "valid": "valid"}
    assert other.split_of == {g: swap[s] for g, s in first.split_of.items()}
    assert {other.split(r) for r in records} == {"train", "valid", "test"}


def test_groups_as_splits_forgets_the_official_ones(tmp_path: Path) -> None:
    records = [record(f"{k}", group="one", split=("train", "test")[k % 2]) for k in range(4)]
    records += [record(f"x{k}", group=f"x{k}") for k in range(5)]
    with pytest.raises(MelmillError, match="two official splits.*SPLITS=groups"):
        joined(tmp_path, records)
    assert len({joined(tmp_path, records, "groups").split(r) for r in records[:4]}) == 1


def test_a_splits_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot read the splits: No such file.*group,split"):
        joined(tmp_path, [record("a")], str(tmp_path / "none.csv"))


@pytest.mark.parametrize("trial", range(12))
def test_recordings_with_tags_have_splits_of_their_own(tmp_path: Path, trial: int) -> None:
    """Three songs among sixty sounds that nobody labelled: none of the splits lacks one."""
    songs = [record(f"{trial}-song{k}", "labelled", tags=("slow", f"t{k}")) for k in range(3)]
    sounds = [record(f"{trial}-sound{k}", "labelled") for k in range(60)]
    found = joined(tmp_path, songs + sounds)
    assert {found.split(song) for song in songs} == {"train", "valid", "test"}
    alone = joined(tmp_path, sounds)
    assert [found.split(one) for one in sounds] == [alone.split(one) for one in sounds]


def test_all_tags_are_one_stratum_and_a_class_goes_before_them(tmp_path: Path) -> None:
    """Tags are many: a stratum for each set of them would put every song into train."""
    songs = [record(f"song{k}", "labelled", tags=(f"t{k}",)) for k in range(40)]
    held = [joined(tmp_path, songs).split(song) for song in songs]
    assert {split: held.count(split) >= 3 for split in held} == dict.fromkeys(
        ("train", "valid", "test"), True
    )
    both = [replace(song, label=f"c{k % 4}") for k, song in enumerate(songs)]
    plain = [replace(song, tags=()) for song in both]
    assert joined(tmp_path, both).split_of == joined(tmp_path, plain).split_of
    assert joined(tmp_path, both).split_of != joined(tmp_path, songs).split_of


@pytest.mark.parametrize("role", ["clean", "noise", "music"])
def test_tags_of_what_is_not_learnt_by_its_label_move_nobody(tmp_path: Path, role: str) -> None:
    records = [record(f"{k}", role) for k in range(30)]
    before = joined(tmp_path, records).split_of
    tagged = [replace(one, tags=("slow",)) if k % 5 == 0 else one for k, one in enumerate(records)]
    assert joined(tmp_path, tagged).split_of == before


def test_the_key_moves_with_each_of_its_parts(tmp_path: Path) -> None:
    records = [record(f"{k}", group=f"g{k}") for k in range(5)]
    manifest, done = Manifest("csv", records, key="m"), decoded(records)
    base = gather(manifest, done, tmp_path, "").key
    assert gather(manifest, done, tmp_path, "").key == base
    assert gather(replace(manifest, key="n"), done, tmp_path, "").key != base
    assert gather(manifest, replace(done, key="e"), tmp_path, "").key != base


@pytest.mark.parametrize(
    ("bad", "limit", "stops"),
    [(1, 5.0, False), (2, 5.0, True), (2, 10.0, False), (1, 0.0, True), (0, 0.0, False)],
)
def test_more_bad_files_than_the_limit_stop_the_run(
    tmp_path: Path, bad: int, limit: float, stops: bool
) -> None:
    records = [record(f"{k}", group=f"g{k}") for k in range(20)]
    found = joined(tmp_path, records, **{str(k): ("truncated", "") for k in range(bad)})
    if stops:
        with pytest.raises(
            TooManyRejected, match=rf"{bad} of 20 .*{bad} truncated.*at most {limit:g} %"
        ):
            check_rejected(found, limit)
    else:
        check_rejected(found, limit)


@pytest.mark.parametrize("code", ["duplicate", "duplicate_audio", "unlisted", "not_regular"])
def test_what_says_nothing_against_the_data_does_not_count(tmp_path: Path, code: str) -> None:
    records = [record(f"{k}", group=f"g{k}") for k in range(4)]
    records[0] = replace(records[0], reject=code)
    check_rejected(joined(tmp_path, records), 0.0)


def test_a_file_found_twice_over_counts_once_against_the_limit(tmp_path: Path) -> None:
    check_rejected(Corpus([], decoded([]), {}, ""), 0.0)  # nothing found: another error's business
