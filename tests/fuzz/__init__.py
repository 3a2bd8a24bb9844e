"""Fuzzing: what strangers send, made up by a machine that watches which code it reaches.

``targets`` holds one module for each thing that is fuzzed: how an input is taken apart, and what must hold of it.
``native.pyx`` is the same in C for those that are worth it, ``corpus`` the inputs that reach all that was ever reached,
``findings`` those that once showed a fault. ``test_corpus.py`` replays both in the normal suite. ``run.py`` fuzzes,
``make fuzz`` sets it up; see docs/fuzzing.md.
"""
