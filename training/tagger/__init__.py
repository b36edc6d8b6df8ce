"""The music tagger: which tags a track has, and when."""

MODEL = "tagger"
