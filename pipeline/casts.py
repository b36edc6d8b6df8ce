"""Who talks in each simulated conversation, and what there is of them to say.

Reads and writes nothing. Does: draws the speakers of a conversation, the speed that makes each one
a voice, and pieces of their recordings, all by the conversation's own name (its split and number).

Each conversation takes the speakers with the highest hash of (conversation, speaker), and of each
the recordings with the highest hash. So one more speaker changes just the conversations it wins,
and one more recording those in which it is among the first of its speaker's; where a split has
fewer speakers than a conversation asks for, one more joins every such conversation.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from pipeline import draws, rng
from pipeline.audio.pcm import resampled_length
from pipeline.corpus import Corpus, group
from pipeline.disk import store
from pipeline.items import Item, Talk, Voice
from pipeline.layouts.splits import SPLITS
from pipeline.recipe import Conversation, Recipe
from pipeline.scan import Record
from pipeline.tracks import Piece, Track

LONGEST = 30.0  # seconds taken of one recording, so that a conversation needs no more of it
ENOUGH = 2.0  # sound for each speaker, in shares of the window: half of a recording may be pauses


def lacks(recipe: Recipe, records: Sequence[Record], corpus: Corpus) -> str:
    """What there is too little of; empty when there can be conversations to learn from, or, in a
    recipe without any for training, at all."""
    assert recipe.conversation is not None
    wanted = [split for split in SPLITS if getattr(recipe.conversation, split)]
    speakers = {s: len({group(r) for r in records if corpus.split(r) == s}) for s in wanted}
    must = ["train"] if "train" in wanted else wanted
    if any(speakers[split] >= 2 for split in must):
        return ""
    here = ", ".join(f"{speakers[split]} in {split}" for split in must)
    return f"two speakers or more of role clean; here: {here}"


def conversations(
    split: str,
    records: Sequence[Record],
    recipe: Recipe,
    corpus: Corpus,
    noise: Sequence[Track],
) -> list[Item]:
    """The conversations of one split; none where there are not two speakers."""
    assert recipe.conversation is not None
    c = recipe.conversation
    speakers = _Speakers(records, recipe, corpus)
    if len(speakers.names) < 2:
        return []
    table = draws.Table(noise, recipe)
    found = []
    for number in range(getattr(c, split)):
        ident = store.digest(["conversation", c.seed, split, number])
        count = min(c.speakers[number % len(c.speakers)], len(speakers.names))
        names = speakers.chosen(ident, count)
        voices = tuple(speakers.voice(ident, name, split, count) for name in names)
        snr, draw = table.one(ident)
        found.append(
            Item(
                id=ident,
                pack="",
                begin=0,
                length=recipe.window.samples,
                first=0,
                count=1,
                group=draws.number("\x1f".join(sorted(names))),
                fold=-1,
                draws=((draw,),),
                talk=Talk(voices, snr),
            )
        )
    return found


def content(talk: Talk) -> list[Any]:
    """What of a conversation decides bytes: not the packs its recordings happen to lie in."""
    voices = [[v.id, v.speed, [[p.id, p.start, p.length] for p in v.pieces]] for v in talk.voices]
    return [talk.snr, voices]


class _Speakers:
    """The speakers of a split with their recordings."""

    def __init__(self, records: Sequence[Record], recipe: Recipe, corpus: Corpus) -> None:
        self.recipe, self.corpus = recipe, corpus
        held: dict[str, list[str]] = {}
        for record in records:
            held.setdefault(group(record), []).append(record.id)
        self.names = sorted(held)
        self.keys = np.array([draws.number(name) for name in self.names], np.uint64)
        self.idents = {name: sorted(held[name]) for name in self.names}

    def chosen(self, ident: str, count: int) -> list[str]:
        """The speakers of one conversation, highest hash first."""
        order = _ranked(self.keys, ident)
        return [self.names[i] for i in order[:count]]

    def voice(self, ident: str, name: str, split: str, count: int) -> Voice:
        """A speaker at a speed, with pieces that are long enough together for `count` to talk."""
        c = self.recipe.conversation
        assert c is not None
        speed = _speed(c, ident, name) if split == "train" else 1.0
        idents = self.idents[name]
        keys = np.array([int(i[:16], 16) for i in idents], np.uint64)
        left = ENOUGH * self.recipe.window.samples * speed / count
        pieces = []
        for place in _ranked(keys, ident):
            pieces.append(self._piece(ident, idents[place]))
            left -= pieces[-1].length
            if left <= 0:
                break
        return Voice(draws.number(f"{name}\x1f{speed:g}"), speed, tuple(pieces))

    def _piece(self, ident: str, recording: str) -> Piece:
        r = self.corpus.decoded.recordings[recording]
        rate = self.recipe.audio.rate
        whole = resampled_length(r.frames, r.rate, rate)
        length = min(whole, round(LONGEST * rate))
        start = int(rng.unit(0, "piece", ident, recording) * (whole - length + 1))
        return Piece(recording, self.corpus.decoded.packs[recording], start, length)


def _speed(c: Conversation, ident: str, name: str) -> float:
    return c.voices[int(rng.unit(c.seed, "speed", ident, name) * len(c.voices))]


def _ranked(keys: np.ndarray, ident: str) -> np.ndarray:
    """Places in the order of hash(conversation, key), highest first."""
    return np.argsort(draws.mixed(keys ^ np.uint64(int(ident[:16], 16))), kind="stable")[::-1]
