"""What files a folder holds.

Reads: names and stamps, no file's content. Does: lists every file below a folder; links are listed,
never followed. Writes nothing.
"""

import os
import stat
from pathlib import Path

from pipeline.audio import codecs
from pipeline.disk import stamps

NEVER: stamps.Stamp = (0, 0, 0, 0)  # no file has it
Found = tuple[str, stamps.Stamp, str]  # path, stamp, "" or why it is no regular file


def walk(root: Path) -> tuple[list[Found], list[str]]:
    """(files with an audio suffix, all regular files). Links are listed, never followed."""
    audio: list[Found] = []
    every: list[str] = []
    waiting = [""]
    while waiting:
        prefix = waiting.pop()
        try:
            entries = list(os.scandir(root / prefix))
        except OSError as err:
            audio.append((prefix.rstrip("/"), NEVER, f"unreadable:{err.strerror}"))
            continue
        for entry in entries:
            if entry.name.startswith(".") or entry.name == "__MACOSX":
                continue
            path = prefix + entry.name
            try:
                status = entry.stat(follow_symlinks=False)
            except FileNotFoundError:  # gone since the line above
                continue
            except OSError as err:  # a folder that may be listed and not entered: whatever it is
                audio.append((path, NEVER, f"unreadable:{err.strerror}"))
                continue
            heard = os.path.splitext(entry.name)[1].lower() in codecs.EXTENSIONS
            if stat.S_ISDIR(status.st_mode):
                waiting.append(path + "/")
            elif stat.S_ISREG(status.st_mode):
                every.append(path)
                if heard:
                    audio.append((path, stamps.stamp(status), ""))
            elif heard or (stat.S_ISLNK(status.st_mode) and os.path.isdir(root / path)):
                what = "a link, not followed" if stat.S_ISLNK(status.st_mode) else "no file"
                audio.append((path, stamps.stamp(status), f"not_regular:{what}"))
    return sorted(audio), sorted(every)
