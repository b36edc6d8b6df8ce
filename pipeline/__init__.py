"""melmill's pipeline: from a folder of audio to sealed shards, and features as a library."""
