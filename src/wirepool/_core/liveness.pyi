"""Is an idle descriptor still usable? One poll without waiting."""

# What Cython exports to the other modules of the core; nothing for Python.
__pyx_capi__: dict[str, object]

def is_alive(fd: int) -> bool:
    """Whether the idle descriptor ``fd`` has nothing to say: no bytes, no end of stream, no error."""
