"""Which recordings lie in which package, and what is known of them.

Reads and writes nothing. Does: tells of a file's path in a package the part of the corpus it goes
to, its class and its group. One row of RULES is one kind of file; the first that fits counts.

Classes come from names of files and folders, nobody listened. A group is what may be one speaker
or one source: the voices of one language in KDE's games count as one, takes of one name too.
"""

import re
from dataclasses import dataclass

ROLES = {
    "speech": "clean", "voices": "clean", "noise": "noise", "sounds": "labelled", "music": "music",
}  # fmt: skip
BUNDLE = "opensfx.cat"  # a file that holds other files

# Words of a name -> class; the first row with one of its words counts. No class has fewer than six
# sources, so that five folds can be made of each.
CLASSES = {
    "animal": "animals? birds? cat cow crickets? crow dog duck goose horse kitten lion meow "
    "monkeys owl rooster sea.?lion sheep wolf.?howl horse.?gallop",
    "impact": "bar boing can crash door.?close expl(?:osion)? mortar pop splat wall metbrk "
    "woodbrk tree.?hit",
    "vehicle": "helicopter jet plane crossing maglev monorail railroad steam train ferry ship dock "
    "bus car car.?passing firetruck motorcycle.?passing road truck tread",
    "machine": "building chainsaw factory jackhammer machinery mill mine mining saw sawmill "
    "sewing.?machine tools typing vacuum.?cleaner washing.?machine",
    "water": "bubbles? plunge ripples splash water.?drop water.?running toilet kettle rain",
    "people": "applause oooh party.?noise baby.?cry cough foot(?:steps)? laugh scream slurp sneeze "
    "finger.?snap",
    "alarm": "bell.?toll beep computer.?beeps till morse whistle wakeup",
}
# What the packages call a kind of sample -> class; of other kinds no class is known.
KINDS = {
    "ambience": "ambi",
    "drums": "bd drum sn perc percussion tabla",
    "electronic": "elec glitch mehackit",
    "instrument": "instruments guit bass",
    "loop": "loop",
    "vocals": "vocals",
}
_KIND = {word: name for name, words in KINDS.items() for word in words.split()}
_WORDS = {
    name: re.compile(rf"(?<![a-z])(?:{'|'.join(words.split())})(?![a-z])")
    for name, words in CLASSES.items()
}


@dataclass(frozen=True)
class Rule:
    """Files of a package. `label`, a word of KINDS, and `group` are filled with what `path`
    found; a label "?" is looked for in the name, a group "?" is the name without its number."""

    package: str
    part: str
    path: str  # of the whole path in the package; (?P<name>...) is what the file is called here
    group: str = "?"
    label: str = ""


@dataclass(frozen=True)
class Place:
    """Where a file goes, and what is known of it."""

    part: str
    name: str
    label: str
    group: str


_SPOKEN = r"usr/share/asterisk/sounds/(?P<who>[^/]+)/(?!silence/)(?P<name>.+)\.g722"
_STAMPS = "usr/share/tuxpaint/stamps/"
_SCRATCH = "usr/share/scratch/Media/Sounds/"
_GAMES = "usr/share/games/"
SOUND = r"\.(?:wav|ogg|flac|mp3)"

RULES = (
    Rule(
        "festvox-ru", "speech",
        rf"usr/share/festival/voices/russian/\w+/wav/(?P<name>.+){SOUND}", "festvox_ru",
    ),
    *(Rule(f"asterisk-core-sounds-{language}-g722", "speech", _SPOKEN, "{who}")
      for language in ("en", "fr", "it", "ru")),
    Rule(
        "klettres-data", "speech",
        rf"usr/share/klettres/(?P<who>[a-z]+)[^/]*/(?P<name>.+){SOUND}", "kde_{who}",
    ),
    Rule("openttd-opensfx", "noise", rf".*/{BUNDLE}", "?", "?"),
    Rule(
        "scratch", "noise",
        rf"{_SCRATCH}(?P<name>(?:Animal|Effects|Electronic|Human)/.+){SOUND}", "?", "?",
    ),
    Rule(
        "scratch", "sounds",
        rf"{_SCRATCH}(?P<name>(?P<kind>Instruments|Percussion|Vocals)/.+){SOUND}", "?", "{kind}",
    ),
    Rule("freeciv-data", "noise", rf".*/stdsounds/(?P<name>.+){SOUND}", "?", "?"),
    Rule("freeciv-data", "music", rf".*/stdmusic/(?P<name>.+){SOUND}", "?"),
    Rule(
        "tuxpaint-stamps-default", "voices",
        rf"{_STAMPS}(?!symbols/)(?P<name>.+_desc(?:_(?P<who>[a-z]+)\w*)?)(?:\.ogg)?{SOUND}",
        "tuxpaint_{who}",
    ),
    Rule(
        "tuxpaint-stamps-default", "sounds",
        rf"{_STAMPS}hobbies/music/(?P<name>.+){SOUND}", "?", "Instruments",
    ),
    Rule(
        "tuxpaint-stamps-default", "noise",
        rf"{_STAMPS}(?P<name>(?:animals|hobbies|household|naturalforces|vehicles)/.+){SOUND}",
        "?", "?",
    ),
    Rule(
        "sonic-pi-samples", "sounds",
        rf".*/samples/(?P<name>(?P<kind>tabla)_.+){SOUND}", "tabla", "{kind}",
    ),
    Rule("sonic-pi-samples", "sounds", rf".*/samples/(?P<name>(?P<kind>[a-z]+)_.+){SOUND}", "?",
         "{kind}"),
    Rule(  # a name ends in its author's initials
        "extremetuxracer-data", "music",
        rf".*/music/(?P<name>.+-(?P<who>[a-z]+)){SOUND}", "etr_{who}",
    ),
    Rule("extremetuxracer-data", "noise", rf".*/sounds/(?P<name>.+){SOUND}", "?", "?"),
    Rule("neverball-common", "music", rf".*/bgm/(?P<name>.+){SOUND}", "neverball"),
    Rule(
        "hedgewars-data", "voices",
        rf"{_GAMES}.*/voices/(?P<who>[^/]+)/(?P<name>.+){SOUND}", "hedgewars_{who}",
    ),
    Rule("hedgewars-data", "music", rf".*/Music/(?P<name>.+){SOUND}", "hedgewars"),
    Rule(
        "ktuberling-data", "voices",
        rf"usr/share/ktuberling/sounds/(?P<who>[a-z]+)[^/]*/(?P<name>.+){SOUND}", "kde_{who}",
    ),
)  # fmt: skip
_COMPILED = [(rule, re.compile(rule.path)) for rule in RULES]
PACKAGES = tuple(dict.fromkeys(rule.package for rule in RULES))


def needs_av(package: str) -> bool:
    """Whether its sound is G.722, which libsndfile does not read."""
    return package.endswith("-g722")


def parts(package: str) -> tuple[str, ...]:
    """The parts of the corpus that a package gives something to."""
    return tuple(dict.fromkeys(rule.part for rule in RULES if rule.package == package))


def place(package: str, path: str) -> Place | None:
    """What a file of a package is; None if it is no recording that is wanted."""
    for rule, form in _COMPILED:
        hit = form.fullmatch(path) if rule.package == package else None
        if hit:
            found = {key: value or "en" for key, value in hit.groupdict().items()}
            name = found.get("name", "")
            kind = rule.label.format(**found).lower()
            label = classed(name) if kind == "?" else _KIND.get(kind, "")
            group = sourced(package, name) if rule.group == "?" else rule.group.format(**found)
            return Place(rule.part, name, label, group)
    return None


def classed(name: str) -> str:
    """The class that a name tells; "" where it tells none."""
    words = re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()
    return next((kind for kind, form in _WORDS.items() if form.search(words)), "")


def sourced(package: str, name: str) -> str:
    """A group for all takes of one name: dog1 and dog2, loop_amen and loop_amen_full."""
    last = name.rsplit("/", 1)[-1].lower()
    return f"{package}_{re.sub(r'[-_ ]*(?:[0-9]+|full)$', '', last) or last}"
