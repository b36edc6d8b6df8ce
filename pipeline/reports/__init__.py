"""A page about a recipe's shards.

Reads, does and writes nothing: the modules do.
"""
