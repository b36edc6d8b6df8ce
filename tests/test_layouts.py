"""Layouts: each corpus' own shape, lists with wrong rows, speakers tied across recordings."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import REASONS, UsageError
from pipeline.layouts.recognise import LAYOUTS, Entry, Listing, read_listing
from pipeline.layouts.rttm import tie

AUDIO = frozenset({".wav", ".flac", ".mp3"})
SPOKEN = "SPEAKER {0} 1 {1} {2} <NA> <NA> {3} <NA> <NA>\n"


def listing(root: Path, files: dict[str, str], layout: str = "auto", role: str = "") -> Listing:
    """Write the lists; audio files need not exist, their names are enough."""
    for path, text in files.items():
        if text:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text, encoding="utf-8")
    return read_listing(root, list(files), AUDIO, layout, role)


def sounds(*paths: str) -> dict[str, str]:
    return dict.fromkeys(paths, "")


def codes(found: Listing) -> dict[str, str]:
    return {path: code for path, code, _ in found.rejected}


def groups(found: Listing) -> dict[str, str]:
    return {entry.path: entry.group for entry in found.entries}


def turns(recording: str, *names: str) -> str:
    return "".join(SPOKEN.format(recording, k, 1.5, name) for k, name in enumerate(names))


def test_own_list_with_every_column(tmp_path: Path) -> None:
    text = (
        "\ufeffpath,label,group,split,role,start,end,fold,tags,rttm\n"
        "a.wav,dog,g1,val,labelled,,,2,loud| wet ,\n"
        "./b//c.wav,,p1,test,Speech,,,,,\n"
        "d.wav,x,,,noise,0.5,2,,,\nd.wav,y,,,noise,0,0.5,,,\n"
        "t.wav,,,,,,,,,t.rttm\n"
    )
    files = {"melmill.csv": text, "t.rttm": turns("t", "Ann", "Bob")}
    found = listing(tmp_path, files | sounds("a.wav", "b/c.wav", "d.wav", "t.wav"))
    assert found == Listing(
        "csv",
        (
            Entry("a.wav", "labelled", "dog", "g1", "valid", 2, ("loud", "wet")),
            Entry("b/c.wav", "clean", "", "p1", "test"),
            Entry("d.wav", "noise", "", segments=((0.0, 0.5, "y"), (0.5, 2.0, "x")),
                  segment_kind="label"),
            Entry("t.wav", "labelled", group="Ann",
                  segments=((0.0, 1.5, "Ann"), (1.0, 2.5, "Bob")), segment_kind="speaker"),
        ),
        (),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("row", "code", "said"),
    [
        ("a.wav,,,,robot,,", "bad_list_row", "melmill.csv:2: role"),
        ("a.wav,,,dev2,,,", "bad_list_row", "split"),
        ("a.wav,,,,,1,1", "bad_list_row", "not after"),
        ("a.wav,,,,,-1,1", "bad_list_row", "start is not a number"),
        ("a.wav,,,,,0,nan", "bad_list_row", "end is not a number"),
        ("a.wav,,,,,1,", "bad_list_row", "go together"),
        ("a.wav,,,,,,,x", "bad_list_row", "8 cells"),
        ("a.wav,x,,,,,\na.wav,y,,,,,", "bad_list_row", "line 3 contradicts line 2"),
        ("a.wav,x,,,,0,1\na.wav,x,,,,,", "bad_list_row", "contradicts"),
        ("a.wav,x,g,,,0,1\na.wav,x,h,,,1,2", "bad_list_row", "contradicts"),
    ],
)
def test_a_wrong_row_rejects_its_file(tmp_path: Path, row: str, code: str, said: str) -> None:
    # b.wav has empty cells too many, as spreadsheets leave them
    text = f"path,label,group,split,role,start,end\n{row}\nb.wav,,,,,,,,\n"
    found = listing(tmp_path, {"melmill.csv": text} | sounds("a.wav", "b.wav"))
    assert codes(found) == {"a.wav": code}
    assert said in found.rejected[0][2]
    assert groups(found) == {"b.wav": ""}


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("../a.wav", "outside_root"),
        ("b/../a.wav", "outside_root"),
        ("/etc/passwd", "outside_root"),
        ("C:\\a.wav", "outside_root"),
        ("..\\a.wav", "outside_root"),
        ("gone.wav", "missing"),
        ("a.wav\0", "bad_list_row"),
        (" a.wav", "missing"),
    ],
)
def test_a_listed_path_is_used_only_if_the_walk_found_it(
    tmp_path: Path, path: str, code: str
) -> None:
    found = listing(tmp_path, {"melmill.csv": f"path\n{path}\n"} | sounds("a.wav"))
    assert codes(found) == {path: code, "a.wav": "unlisted"}
    assert found.entries == ()


def test_a_misspelt_column_stops_but_a_foreign_list_may_have_its_own(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"unknown column.*label.*'lable'"):
        listing(tmp_path, {"melmill.csv": "path,lable\n"} | sounds("a.wav"))
    text = "path;kind;package;group\na.wav;speech;festvox;anna\n"
    found = listing(tmp_path, {"sources.csv": text} | sounds("a.wav"))
    assert found.entries == (Entry("a.wav", "clean", group="anna"),)
    with pytest.raises(UsageError, match="'grupo'"):
        listing(tmp_path, {"sources.csv": "path,grupo\n"} | sounds("a.wav"))


def test_a_role_that_the_list_leaves_no_room_for_is_refused(tmp_path: Path) -> None:
    files = {"melmill.csv": "path,role\na.wav,music\n"} | sounds("a.wav")
    with pytest.raises(UsageError, match="no recording has the role asked for.*music.*noise"):
        listing(tmp_path, files, role="noise")


def test_the_role_asked_for_fills_what_a_list_leaves_open(tmp_path: Path) -> None:
    text = "path,role\na.wav,\nb.wav,music\n"
    found = listing(tmp_path, {"melmill.csv": text} | sounds("a.wav", "b.wav"), role="noise")
    assert [entry.role for entry in found.entries] == ["noise", "music"]


@pytest.mark.parametrize("fold", ["2147483648", "3e9", "1.5"])
def test_folds_fit_what_shards_hold(tmp_path: Path, fold: str) -> None:
    text = f"path,fold\na.wav,{fold}\nb.wav,2147483647\n"
    found = listing(tmp_path, {"melmill.csv": text} | sounds("a.wav", "b.wav"))
    assert codes(found) == {"a.wav": "bad_list_row"}
    assert "fold is not a whole number up to 2147483647" in found.rejected[0][2]
    assert [entry.fold for entry in found.entries] == [2**31 - 1]
    table = {
        "metadata/UrbanSound8K.csv": f"slice_file_name,fsID,fold,class\n1-1-0-0.wav,1,{fold},dog"
    }
    assert codes(listing(tmp_path, table | sounds("1-1-0-0.wav"))) == {
        "1-1-0-0.wav": "bad_list_row"
    }


def test_esc50_by_its_table_and_by_its_names(tmp_path: Path) -> None:
    files = sounds("E/audio/1-100-A-0.wav", "E/audio/5-200-B-14.wav", "E/audio/stray.wav")
    table = (
        "filename,fold,target,category,esc10,src_file,take\n"
        "1-100-A-0.wav,1,0,dog,True,100,A\n5-200-B-14.wav,5,14,birds,False,200,B\n"
        "2-3-A-1.wav,2,1,rooster,True,3,A\n"
    )
    named = listing(tmp_path, files)
    assert [(e.label, e.group, e.fold) for e in named.entries] == [
        ("00", "100", 1),
        ("14", "200", 5),
    ]
    found = listing(tmp_path, files | {"E/meta/esc50.csv": table}, role="noise")
    assert found.layout == named.layout == "esc50"
    assert found.entries[1] == Entry("E/audio/5-200-B-14.wav", "noise", "birds", "200", fold=5)
    assert codes(found) == {"2-3-A-1.wav": "missing", "E/audio/stray.wav": "unlisted"}


def test_urbansound8k_keeps_slices_of_one_recording_together(tmp_path: Path) -> None:
    files = sounds("audio/fold1/100032-3-0-0.wav", "audio/fold1/100032-3-0-9.wav")
    table = (
        "slice_file_name,fsID,start,end,salience,fold,classID,class\n"
        "100032-3-0-0.wav,100032,0,0.3,1,1,3,dog_bark\n100032-3-0-9.wav,100032,0,1,1,x,3,dog_bark\n"
    )
    assert groups(listing(tmp_path, files)) == dict.fromkeys(files, "100032")
    found = listing(tmp_path, files | {"metadata/UrbanSound8K.csv": table})
    assert found.layout == "urbansound8k"
    first = "audio/fold1/100032-3-0-0.wav"
    assert found.entries == (Entry(first, "labelled", "dog_bark", "100032", fold=1),)
    assert codes(found) == {"audio/fold1/100032-3-0-9.wav": "bad_list_row"}


def test_voicebank_uses_clean_files_and_reports_the_mixed_ones(tmp_path: Path) -> None:
    train, test = "clean_trainset_28spk_wav/p226_001.wav", "clean_testset_wav/p232_001.wav"
    found = listing(tmp_path, sounds(train, test, "noisy_testset_wav/p232_001.wav"))
    assert found.layout == "voicebank-demand"
    assert found.entries == (
        Entry(test, "clean", group="p232", split="test"),
        Entry(train, "clean", group="p226", split="train"),
    )
    assert codes(found) == {"noisy_testset_wav/p232_001.wav": "unlisted"}


def test_librispeech_and_libritts(tmp_path: Path) -> None:
    paths = ["L/dev-clean/84/121/84-121-0000.flac", "L/train-other-500/20/5/20_5_1_0.wav"]
    found = listing(tmp_path, sounds(*paths))
    assert [(e.role, e.group, e.split) for e in found.entries] == [
        ("clean", "84", "valid"),
        ("clean", "20", "train"),
    ]


def test_musan_takes_artists_and_genres_from_its_notes(tmp_path: Path) -> None:
    music = "musan/music/fma/music-fma-0001.wav"
    notes = {"musan/music/fma/ANNOTATIONS": "music-fma-0001 rock,pop Y The_Band\nshort\n"}
    rest = sounds("musan/speech/us-gov/speech-us-gov-0000.wav", "musan/noise/x/noise-x-0000.wav")
    found = listing(tmp_path, notes | sounds(music) | rest)
    assert found.layout == "musan"
    assert found.entries[0] == Entry(music, "music", "music", "The_Band", tags=("pop", "rock"))
    assert [entry.role for entry in found.entries] == ["music", "noise", "clean"]


def test_magnatagatune(tmp_path: Path) -> None:
    table = (
        '"clip_id"\t"guitar"\t"no voice"\t"mp3_path"\n'
        '"2"\t"1"\t"1"\t"b/ann-first_album-01-song-30-59.mp3"\n'
        '"6"\t"0"\t"0"\t"f/bob-live-02-tune-0-29.mp3"\n'
        '"7"\t"0"\t"0"\t""\n"8"\t"0"\t"0"\t"b/ann-first_album-01-song-30-59.mp3"\n'
        '"9"\t"0"\t"0"\t"z/cy-x-03-y-0-29.mp3"\n'
    )
    files = sounds("mp3/b/ann-first_album-01-song-30-59.wav", "mp3/f/bob-live-02-tune-0-29.mp3")
    files |= sounds("mp3/z/cy-x-03-y-0-29.mp3")
    found = listing(tmp_path, files | {"annotations_final.csv": table})
    assert [(e.group, e.split, e.tags) for e in found.entries] == [
        ("ann-first_album", "train", ("guitar", "no voice")),
        ("bob-live", "test", ()),
    ]
    assert [(path, code) for path, code, _ in found.rejected] == [
        ("annotations_final.csv:4", "bad_list_row"),
        ("annotations_final.csv:5", "bad_list_row"),
        ("mp3/z/cy-x-03-y-0-29.mp3", "bad_list_row"),
    ]


def test_rttm_beside_in_a_folder_or_pooled(tmp_path: Path) -> None:
    files = {
        "a.rttm": turns("a", "Ann"),
        "rttm/b.rttm": ";; note\nSPKR-INFO b 1 <NA> <NA> <NA> unknown Bob <NA>\n"
        + turns("b", "Bob"),
        "all.rttm": turns("c", "Cy") + turns("ES1", "Dee"),
    } | sounds("a.wav", "b.wav", "x/c.wav", "ES1.Mix-Headset.wav", "none.wav")
    found = listing(tmp_path, files)
    assert found.layout == "rttm"
    assert [entry.segments[0][2] for entry in found.entries] == ["Dee", "Ann", "Bob", "Cy"]
    assert {entry.segment_kind for entry in found.entries} == {"speaker"}
    assert codes(found) == {"none.wav": "unlisted"}


@pytest.mark.parametrize(
    "line",
    [
        "SPEAKER a 1 0 x <NA> <NA> Ann <NA>",
        "SPEAKER a 1 0 -1 <NA> <NA> Ann <NA>",
        "SPEAKER a 1 nan 1 <NA> <NA> Ann <NA>",
        "SPEAKER a 1 0 1",
        "SPEAKER a 1 1 1e15 <NA> <NA> Ann <NA>",
        "SPEAKER 1 5.5 4 <NA> <NA> Ann <NA> <NA>",  # no recording: not one that is called 1
        "SPEAKR a 1 0 1 <NA> <NA> Ann <NA>",
        "SPEAKER",
    ],
)
def test_a_malformed_rttm_line_rejects_its_recording(tmp_path: Path, line: str) -> None:
    files = {"a.rttm": turns("a", "Ann") + line + "\n", "b.rttm": turns("b", "Bob")}
    found = listing(tmp_path, files | sounds("a.wav", "b.wav"))
    assert codes(found) == {"a.wav": "bad_list_row"}
    assert "line 2" in found.rejected[0][2]


def test_an_rttm_that_names_another_recording_too_is_no_recording_s_own(tmp_path: Path) -> None:
    files = {"a.rttm": turns("a", "Ann") + turns("tipo", "Bob"), "b.rttm": turns("b.x", "Bob")}
    files |= {"all.rttm": turns("c", "Cy") + turns("d", "Dee")}  # of many, as its name says
    found = listing(tmp_path, files | sounds("a.wav", "b.wav", "c.wav", "d.wav"))
    assert codes(found) == {"a.wav": "bad_list_row"}
    assert found.rejected[0][2] == "a.rttm names 'tipo' beside 'a'"


def test_two_rttm_files_of_one_name_are_not_guessed_between(tmp_path: Path) -> None:
    files = {"x/a.rttm": turns("a", "Ann"), "y/a.rttm": turns("a", "Bob")}
    assert codes(listing(tmp_path, files | sounds("a.wav"))) == {"a.wav": "bad_list_row"}
    assert listing(tmp_path, files | sounds("x/a.wav")).entries[0].group == "Ann"


def test_shared_speakers_tie_recordings_and_their_clean_files(tmp_path: Path) -> None:
    talks = {"1": ("Bob", "Cy"), "2": ("Cy", "Dee"), "3": ("Eve",), "4": ("SPEAKER_00", "B")}
    files = {f"conversations/{k}.rttm": turns(k, *names) for k, names in talks.items()}
    files |= sounds(*(f"conversations/{k}.wav" for k in talks))
    files |= sounds("speech/Dee/1.wav", "speech/Ann/1.wav", "noise/rain/1.wav")
    found = listing(tmp_path, files)
    assert found.layout == "by-role"
    assert groups(found) == {
        "conversations/1.wav": "Bob",
        "conversations/2.wav": "Bob",
        "conversations/3.wav": "Eve",
        "conversations/4.wav": "",
        "noise/rain/1.wav": "",
        "speech/Ann/1.wav": "Ann",
        "speech/Dee/1.wav": "Bob",
    }
    known = listing(tmp_path, files | sounds("speech/B/1.wav"))
    assert groups(known)["conversations/4.wav"] == "B"


@given(st.lists(st.sets(st.integers(0, 12), min_size=1, max_size=3), max_size=12))
def test_tie_finds_what_breadth_first_search_finds(recordings: list[set[int]]) -> None:
    first = tie([{f"{k:02}" for k in names} for names in recordings])
    for start in set().union(*recordings):
        reached, grown = {start}, True
        while grown:
            more = reached.union(*(names for names in recordings if names & reached))
            reached, grown = more, more != reached
        assert first[f"{start:02}"] == f"{min(reached):02}"


def test_by_role_and_class_per_folder(tmp_path: Path) -> None:
    files = sounds("Speech/p1/x/1.wav", "noise/rain/1.wav", "music/1.wav")
    assert listing(tmp_path, files).entries == (
        Entry("Speech/p1/x/1.wav", "clean", "p1", "p1"),
        Entry("music/1.wav", "music"),
        Entry("noise/rain/1.wav", "noise", "rain"),
    )
    files = sounds("dog/a.wav", "cat/x/b.wav", "root.wav")
    found = listing(tmp_path, files)
    assert found.layout == "class-per-folder"
    assert [(e.label, e.group, e.role) for e in found.entries] == [
        ("cat", "", "labelled"),
        ("dog", "", "labelled"),
        ("", "", "labelled"),
    ]
    assert groups(listing(tmp_path, files, role="clean"))["dog/a.wav"] == "dog"


def test_hidden_files_are_not_seen_and_names_are_one_unicode_form(tmp_path: Path) -> None:
    files = sounds(
        ".x.wav", ".git/a.wav", "__MACOSX/b/a.wav", "Jose\u0301/a.wav", "Jos\u00e9/a.wav"
    )
    found = listing(tmp_path, files, role="clean")
    assert len(found.entries) == 2
    assert {entry.group for entry in found.entries} == {"Jos\u00e9"}


NAMES = st.text(
    st.characters(exclude_characters="\0/", exclude_categories=()), min_size=1, max_size=8
)
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)


@given(st.sets(PATHS.map(lambda p: p + ".wav"), max_size=8), st.sampled_from(["", *LAYOUTS]))
def test_every_audio_file_is_used_or_rejected_once(paths: set[str], layout: str) -> None:
    hidden = {p for p in paths if any(part.startswith(".") for part in p.split("/"))}
    layout = "" if layout in ("csv", "magnatagatune") else layout
    found = read_listing(Path("/nonexistent"), sorted(paths), AUDIO, layout or "auto")
    seen = [e.path for e in found.entries] + [path for path, _, _ in found.rejected]
    assert sorted(seen) == sorted(paths - hidden)
    assert {code for _, code, _ in found.rejected} <= set(REASONS)


def test_unknown_names_and_absent_lists_are_usage_errors(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"'esc-50'.*Did you mean esc50"):
        listing(tmp_path, sounds("a.wav"), layout="esc-50")
    with pytest.raises(UsageError, match="unknown role"):
        listing(tmp_path, sounds("a.wav"), role="speech")
    with pytest.raises(UsageError, match=r"csv: its list is not there"):
        listing(tmp_path, sounds("a.wav"), layout="csv")


def test_an_empty_folder_is_an_empty_listing(tmp_path: Path) -> None:
    assert listing(tmp_path, {}) == Listing("class-per-folder", (), ())


def test_a_list_too_large_or_not_a_table_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wide = "path\n" + '"' + "x" * 200_000 + "\n"  # the csv module's own cell limit is 131072
    with pytest.raises(UsageError, match=r"melmill\.csv:\d+: not a table"):
        listing(tmp_path, {"melmill.csv": wide})
    monkeypatch.setattr("pipeline.layouts.lists.MAX_LIST_BYTES", 100)
    with pytest.raises(UsageError, match="list too large"):
        listing(tmp_path, {"melmill.csv": wide})
