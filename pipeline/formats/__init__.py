"""The two shard formats, and the description of what they hold.

Reads and writes bytes that its callers hand over.
"""
