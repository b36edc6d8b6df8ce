"""Who spoke when: attention over log-mel frames, with whoever speaks at the same time."""
