"""A corpus of real recordings out of Debian's packages, with their licences kept beside them.

Reads packages; writes one folder.
"""
