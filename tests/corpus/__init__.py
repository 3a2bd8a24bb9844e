"""A corpus of responses, good, odd and hostile, and what a client must make of them, whatever the way it reads.

``cases`` holds what is asked for, ``server`` plays it from a process of its own, cut as told, ``reading`` is the ways
to read a body, ``trial`` brings them together. ``python -m corpus`` runs all of it; see ``make corpus``.
"""
