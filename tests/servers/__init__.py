"""Servers that tests talk to, on loopback only and from the standard library only.

``scripted``  plays a list of steps on each connection: for wire-level tests and bad servers
``echo``      a well-behaved HTTP/1.1 server in this process: for tests of the public API
``nginx``     a real nginx in a process of its own: for tests against somebody else's server
"""
