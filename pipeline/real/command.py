"""`make real-audio`: a corpus of real recordings to try the pipeline on.

Reads: OUT. Does: fetches what is not there, says what came of it and what to do next. Writes: the
folder.
"""

from pathlib import Path

import click

from pipeline.disk import guard, store
from pipeline.errors import MelmillError
from pipeline.real import corpus

FOLDER = "real-audio"


@click.command("real-audio")
@click.option(
    "--out", envvar="OUT", default=FOLDER, show_default=True, show_envvar=True,
    help="Where the recordings go.",
)  # fmt: skip
def command(out: str) -> None:
    """Fetch openly licensed recordings out of Debian's packages, to try all of it on."""
    folder = Path(out or FOLDER)
    try:
        with guard.lock(folder.resolve()):
            absent = corpus.ensure(folder.resolve())
    except MelmillError as err:  # here the folder is called otherwise
        raise MelmillError(str(err).replace("ARTIFACTS=", "OUT=")) from err
    for line in absent:
        store.say(f"not there, {line}")
    print(f"\n{corpus.told(folder.resolve())}\n\n{_next(folder)}")


def _next(folder: Path) -> str:
    return (
        f"whose work each file is: {folder / 'sources.csv'} and {folder / 'licences'}/, to be read "
        "before any of it is passed on\n"
        f"next: make doctor DATA={folder} (what each recipe would take), then for instance\n"
        f"  make features DATA={folder} RECIPE=noise-classifier,conversations\n"
        f"  make train-classifier DATA={folder}   (or a part by itself: DATA={folder / 'noise'})"
    )
