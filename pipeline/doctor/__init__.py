"""`make doctor`: is this machine fit for a run, and if not, what to do.

Reads the machine, the environment and two folders; writes nothing that stays.
"""
