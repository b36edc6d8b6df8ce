"""The demo corpus: synthetic voices, noise, music and conversations.

Reads nothing; writes one folder.
"""
