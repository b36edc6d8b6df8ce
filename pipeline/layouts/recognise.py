"""What a folder of audio says about itself: roles, labels, groups, official splits.

Reads: file names and the lists beside the audio. Does: recognises a corpus by its shape and turns
every audio file into an entry or a rejection. Writes nothing. One row of LAYOUTS is one corpus.

A group is what may not be parted by a split: a speaker, a source recording, an album. Recordings
with RTTM are tied by their speakers: whoever is in two recordings puts both into one group, and a
speaker who also has clean files puts those into it too. Names that diarizers number anew in every
recording (SPEAKER_00, spk1, A) tie nothing, unless a clean speaker of the folder bears the name.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from posixpath import splitext
from unicodedata import normalize

from pipeline.errors import Rejected, UsageError
from pipeline.layouts import corpora
from pipeline.layouts.lists import ROLE_NAMES, ROLES, Entry, Folder, Found, Reject, read_text, stem
from pipeline.layouts.ownlist import own_list, read_list
from pipeline.layouts.rttm import LOCAL_NAME, Turns, match, tie

__all__ = ["LAYOUTS", "Entry", "Layout", "Listing", "read_listing"]


@dataclass(frozen=True)
class Listing:
    """Every audio file and every listed path of a folder, once."""

    layout: str
    entries: tuple[Entry, ...]  # sorted by path
    rejected: tuple[Reject, ...]  # path, code, detail; sorted


@dataclass(frozen=True)
class Layout:
    about: str
    recognise: Callable[[Folder], bool]
    read: Callable[[Folder], Found]


def _most(folder: Folder, form: re.Pattern[str]) -> bool:
    """Whether more than half of the audio has this form of path."""
    return 2 * sum(form.search(path) is not None for path in folder.audio) > len(folder.audio)


def _with_rttm(folder: Folder, audio: Sequence[str]) -> Found:
    turns, found = Turns(folder.root, read_text), Found()
    rttms = [p for p in folder.files if p.lower().endswith(".rttm")]
    for path, sides in match(audio, rttms, turns).items():
        try:
            if not sides:
                raise Rejected(
                    "unlisted",
                    "no RTTM beside it, of its name, or naming it; a melmill.csv may list it",
                )
            if len(sides) > 1:
                raise Rejected("bad_list_row", f"several RTTM files fit: {', '.join(sides)}")
            segments = turns.of(sides[0], stem(path))
            found.entries.append(Entry(path, "labelled", segments=segments, segment_kind="speaker"))
        except Rejected as error:
            found.rejected.append((path, error.code, error.detail))
    return found


def _top(path: str) -> str:
    return path.split("/", 1)[0].lower() if "/" in path else ""


def _by_role(folder: Folder) -> Found:
    talks = [path for path in folder.audio if _top(path) == "conversations"]
    found = _with_rttm(folder, talks)
    for path in folder.audio:
        if _top(path) in ROLE_NAMES and _top(path) != "conversations":
            role, parts = ROLE_NAMES[_top(path)], path.split("/")
            label = parts[1] if len(parts) > 2 else ""
            found.entries.append(Entry(path, role, label, label if role == "clean" else ""))
    return found


def _folders(folder: Folder) -> Found:
    role = folder.role or "labelled"
    found = Found()
    for path in folder.audio:
        label = path.split("/", 1)[0] if "/" in path else ""
        found.entries.append(Entry(path, role, label, label if role == "clean" else ""))
    return found


LAYOUTS: dict[str, Layout] = {  # in order of recognition; the last takes everything
    "csv": Layout(
        "melmill.csv, or the only CSV at the root with a path column",
        lambda f: bool(own_list(f)),
        lambda f: read_list(f, own_list(f)),
    ),
    "esc50": Layout(
        "meta/esc50.csv, or names fold-clip-take-target",
        lambda f: bool(corpora.table_of(f, "meta/esc50.csv")) or _most(f, corpora.ESC50),
        corpora.esc50,
    ),
    "urbansound8k": Layout(
        "metadata/UrbanSound8K.csv, or fold<k>/ with names fsID-classID-occurrence-slice",
        lambda f: bool(corpora.table_of(f, "metadata/UrbanSound8K.csv")) or _most(f, corpora.URBAN),
        corpora.urban,
    ),
    "voicebank-demand": Layout(
        "clean_trainset_*_wav, noisy_*, clean_testset_wav",
        lambda f: _most(f, corpora.VOICEBANK),
        corpora.voicebank,
    ),
    "librispeech": Layout(
        "train-*, dev-*, test-* / speaker / chapter",
        lambda f: _most(f, corpora.LIBRI),
        corpora.libri,
    ),
    "musan": Layout(
        "music/, noise/, speech/ with MUSAN names", lambda f: _most(f, corpora.MUSAN), corpora.musan
    ),
    "magnatagatune": Layout(
        "annotations_final.csv and folders 0 to f",
        lambda f: bool(corpora.table_of(f, "annotations_final.csv")),
        corpora.magnatagatune,
    ),
    "by-role": Layout(
        f"every top folder is one of {', '.join(ROLE_NAMES)}",
        lambda f: bool(f.audio) and all(_top(path) in ROLE_NAMES for path in f.audio),
        _by_role,
    ),
    "rttm": Layout(
        "recordings with RTTM beside them or in a folder",
        lambda f: any(path.lower().endswith(".rttm") for path in f.files),
        lambda f: _with_rttm(f, f.audio),
    ),
    "class-per-folder": Layout("the first folder is the class", lambda f: True, _folders),
}


def _tied(entries: Sequence[Entry]) -> list[Entry]:
    """Groups of recordings with RTTM, and of the clean speakers who are heard in them."""
    clean = {entry.group for entry in entries if entry.role == "clean" and entry.group}
    heard = {
        entry.path: {
            name for _, _, name in entry.segments if name in clean or not LOCAL_NAME.fullmatch(name)
        }
        for entry in entries
        if entry.segment_kind == "speaker" and not entry.group
    }
    first = tie(heard.values())
    groups = {path: first[min(names)] for path, names in heard.items() if names}
    return [
        replace(e, group=groups.get(e.path) or (first.get(e.group, e.group)))
        if e.path in groups or e.role == "clean"
        else e
        for e in entries
    ]


def _plain(entry: Entry) -> Entry:
    """Names in one Unicode form: a folder copied from another system is the same speaker."""

    def nfc(text: str) -> str:
        return normalize("NFC", text)

    return replace(
        entry,
        label=nfc(entry.label),
        group=nfc(entry.group),
        tags=tuple(map(nfc, entry.tags)),
        segments=tuple((start, end, nfc(name)) for start, end, name in entry.segments),
    )


def _chosen(folder: Folder, layout: str) -> str:
    if layout == "auto":
        return next(name for name, row in LAYOUTS.items() if row.recognise(folder))
    if layout not in LAYOUTS:
        near = get_close_matches(layout, LAYOUTS, 1, 0.4)
        hint = f"did you mean {near[0]}?" if near else ""
        known = f"auto, {', '.join(LAYOUTS)}"
        raise UsageError("unknown layout", expected=known, got=repr(layout), do=hint)
    needed = {
        "csv": own_list(folder),
        "magnatagatune": corpora.table_of(folder, "annotations_final.csv"),
    }
    if not needed.get(layout, layout):
        raise UsageError("its list is not there", where=layout, expected=LAYOUTS[layout].about)
    return layout


def read_listing(
    root: Path, files: Sequence[str], audio: frozenset[str], layout: str = "auto", role: str = ""
) -> Listing:
    """Sort every file of a walk into entries and rejections.

    `files` are all regular files as posix paths relative to the root, `audio` the suffixes of
    audio files with their dot, in lower case, `role` the role where the layout does not say.
    """
    if role and role not in ROLES:
        raise UsageError("unknown role", expected=", ".join(ROLES), got=repr(role))
    seen = sorted(
        path
        for path in files
        if not any(part.startswith(".") or part == "__MACOSX" for part in path.split("/"))
    )
    sounds = tuple(path for path in seen if splitext(path)[1].lower() in audio)
    folder = Folder(root, tuple(seen), sounds, role)
    name = _chosen(folder, layout)
    found = LAYOUTS[name].read(folder)
    if role and found.entries and all(entry.role != role for entry in found.entries):
        told = ", ".join(sorted({entry.role for entry in found.entries}))
        raise UsageError(
            "no recording has the role asked for", where=f"layout {name}", expected=told, got=role,
            do="leave ROLE out, or change what the folders or the list say",
        )  # fmt: skip
    named = {entry.path for entry in found.entries} | {path for path, _, _ in found.rejected}
    left = [(p, "unlisted", f"not part of layout {name}") for p in sounds if p not in named]
    entries = _tied([_plain(entry) for entry in found.entries])
    return Listing(
        name,
        tuple(sorted(entries, key=lambda entry: entry.path)),
        tuple(sorted(found.rejected + left)),
    )
