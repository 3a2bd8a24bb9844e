"""Servers that tests talk to, on loopback only. Each module's docstring says how.

In this process, scripted: they do what a test says, wire-level mistakes included, and record what came.

``scripted``  plays a list of steps on each connection; the others are made of it
``tls``       the same behind TLS
``proxy``     the same as a proxy for forwarding and CONNECT, also behind TLS
``socks``     SOCKS 4, 4a and 5
``echo``      not scripted: a well-behaved HTTP/1.1 server, for tests of the public API

In processes of their own, real: nginx, squid (``squid``), Dante and MicroSocks (``socks``).

``certs`` makes the certificates of all.
"""
