"""Files on disk: sealed writes, stamps and hashes, the run lock, what may be removed.

Reads and writes what its callers name, under the artifacts root.
"""
