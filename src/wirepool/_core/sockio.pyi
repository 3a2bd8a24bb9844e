"""Bytes through a socket descriptor; only other modules of the core see its functions."""

# What Cython exports to the other modules of the core; nothing for Python.
__pyx_capi__: dict[str, object]
