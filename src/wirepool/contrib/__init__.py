"""Integrations that need a package of their own; nothing here is imported unless asked for."""
