"""Published corpora: where each one says a file's label, group and official split.

Reads: file names, and the table or notes that come with the corpus. Does: makes an entry or a
rejection of each file. Writes nothing. One function is one corpus.
"""

import re
from collections.abc import Callable

from pipeline.errors import UsageError
from pipeline.layouts.lists import MAX_FOLD, ROLE_NAMES, Entry, Folder, Found, read_table, read_text


def table_of(folder: Folder, name: str) -> str:
    """The corpus' own table, at the root or below one unpacked folder; "" if absent."""
    ends = [p for p in folder.files if p == name or p.endswith("/" + name)]
    return min(ends, key=lambda p: (p.count("/"), p), default="")


def _tail(path: str, depth: int) -> str:
    """The last parts of a path without its suffix."""
    return re.sub(r"\.[^./]+$", "", "/".join(path.split("/")[-depth:]))


def _by_table(
    folder: Folder, table: str, key: str, depth: int, make: Callable[[dict[str, str], str], Entry]
) -> Found:
    """Entries for a table whose column `key` names files by their last `depth` path parts.

    Suffixes are not compared, so that a corpus converted to another format still fits its table.
    """
    where = {_tail(path, depth): path for path in folder.audio}
    header, rows = read_table(folder.root, table)
    if key not in header:
        raise UsageError("not this corpus' table", where=table, expected=f"a column {key}")
    found, used = Found(), set()
    for line, row in rows:
        name = _tail(row.get(key, ""), depth)
        if not name or name in used:
            said = f"{table}:{line}: names no file, or one that an earlier row named"
            found.rejected.append((f"{table}:{line}", "bad_list_row", said))
            continue
        used.add(name)
        if name not in where:
            found.rejected.append((row[key], "missing", f"{table}:{line} names it"))
            continue
        try:
            found.entries.append(make(row, where[name]))
        except (KeyError, ValueError) as error:
            said = f"{table}:{line}: {type(error).__name__} {error}"
            found.rejected.append((where[name], "bad_list_row", said))
    return found


def _fold(text: str) -> int:
    fold = int(text)
    if not 0 <= fold <= MAX_FOLD:
        raise ValueError(f"fold {fold} is not 0 to {MAX_FOLD}")
    return fold


# ESC-50 (Piczak 2015): fold-clip-take-target; takes of one clip stay together, as in src_file.
ESC50 = re.compile(r"(?:^|/)([1-5])-(\d+)-[A-Z]-(\d{1,2})\.\w+$")


def esc50(folder: Folder) -> Found:
    role = folder.role or "labelled"
    table = table_of(folder, "meta/esc50.csv")
    if table:
        return _by_table(
            folder, table, "filename", 1,
            lambda row, path: Entry(
                path, role, row["category"], row["src_file"], fold=_fold(row["fold"])
            ),
        )  # fmt: skip
    hits = [(path, hit) for path in folder.audio if (hit := ESC50.search(path))]
    return Found([Entry(p, role, f"{int(h[3]):02}", h[2], fold=int(h[1])) for p, h in hits])


# UrbanSound8K (Salamon 2014): fold<k>/fsID-classID-occurrence-slice; slices of one fsID together.
URBAN = re.compile(r"(?:^|/)fold(\d{1,9})/(\d+)-(\d)-\d+-\d+\.\w+$")


def urban(folder: Folder) -> Found:
    role = folder.role or "labelled"
    table = table_of(folder, "metadata/UrbanSound8K.csv")
    if table:
        return _by_table(
            folder, table, "slice_file_name", 1,
            lambda row, path: Entry(path, role, row["class"], row["fsID"], fold=_fold(row["fold"])),
        )  # fmt: skip
    hits = [(path, hit) for path in folder.audio if (hit := URBAN.search(path))]
    return Found([Entry(p, role, h[3], h[2], fold=int(h[1])) for p, h in hits])


# VoiceBank-DEMAND (Valentini 2017). Official train stays "train": valid is carved out of it.
VOICEBANK = re.compile(r"(?:^|/)(clean|noisy)_(train|test)set(?:_\d+spk)?_wav[^/]*/(p\d+)_[^/]+$")


def voicebank(folder: Folder) -> Found:
    found = Found()
    for path in folder.audio:
        hit = VOICEBANK.search(path)
        if hit and hit[1] == "clean":
            found.entries.append(Entry(path, "clean", group=hit[3], split=hit[2]))
        elif hit:
            said = "already mixed; clean speech and noise are mixed here, so that labels are true"
            found.rejected.append((path, "unlisted", said))
    return found


# LibriSpeech and LibriTTS (Panayotov 2015; Zen 2019): split/speaker/chapter/speaker-chapter-...
LIBRI = re.compile(r"(?:^|/)(train|dev|test)-[^/]+/(\d+)/(\d+)/\2[-_]\3[-_][^/]+$")


def libri(folder: Folder) -> Found:
    names = {"train": "train", "dev": "valid", "test": "test"}
    hits = [(path, hit) for path in folder.audio if (hit := LIBRI.search(path))]
    return Found([Entry(p, "clean", group=h[2], split=names[h[1]]) for p, h in hits])


# MUSAN (Snyder 2015): music/fma/music-fma-0000.wav; ANNOTATIONS: name, genres, vocals, artist.
MUSAN = re.compile(r"(?:^|/)(music|noise|speech)/[^/]+/(\1-[^/]+-\d+)\.\w+$")


def musan(folder: Folder) -> Found:
    notes: dict[str, list[str]] = {}
    for path in folder.files:
        if path.endswith("/ANNOTATIONS"):
            rows = (line.split() for line in read_text(folder.root, path).splitlines())
            notes.update({row[0]: row for row in rows if len(row) >= 4})
    found = Found()
    for path in folder.audio:
        if hit := MUSAN.search(path):
            note = notes.get(hit[2], []) if hit[1] == "music" else []
            genres = tuple(sorted({*note[1].split(",")} - {""})) if note else ()
            artist = note[3] if note else ""
            found.entries.append(Entry(path, ROLE_NAMES[hit[1]], hit[1], artist, tags=genres))
    return found


SHELVES = {
    **dict.fromkeys("0123456789ab", "train"),
    "c": "valid",
    **dict.fromkeys("def", "test"),
}


def magnatagatune(folder: Folder) -> Found:
    """MagnaTagATune (Law 2009): its folders 0-b, c, d-f are the usual 12:1:3 split.

    The group is artist and album: that split itself parts the albums of one artist.
    """
    table = table_of(folder, "annotations_final.csv")
    header, _ = read_table(folder.root, table)
    names = [name for name in header if name not in ("clip_id", "mp3_path")]

    def entry(row: dict[str, str], path: str) -> Entry:
        shelf, name = row["mp3_path"].split("/")[-2:]
        split = SHELVES[shelf]
        tags = tuple(sorted(tag for tag in names if row[tag] == "1"))
        album = "-".join(name.split("-")[:2])
        return Entry(path, folder.role or "labelled", group=album, split=split, tags=tags)

    return _by_table(folder, table, "mp3_path", 2, entry)
