"""The music tagger: which tags a track has, and when."""

MODEL = "tagger"
IMPORT = "run make import-musicnn, which makes a damaged run anew"
