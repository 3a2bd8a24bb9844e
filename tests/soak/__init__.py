"""Hundreds of thousands of mixed requests, a fifth of them to servers that misbehave: see ``__main__``."""
