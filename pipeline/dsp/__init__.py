"""Pure functions on arrays: spectra, features, noise, levels, mixtures, statistics.

Reads and writes nothing.
"""
