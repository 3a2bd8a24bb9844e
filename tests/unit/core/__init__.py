"""The core, one file a module: octets in, values out, and no socket where none is needed."""
