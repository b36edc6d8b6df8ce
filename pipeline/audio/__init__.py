"""Audio in: untrusted files decoded block by block, and sealed packs of what was decoded.

Reads audio files and packs; writes packs, through disk.
"""
