# Is an idle descriptor still usable? One poll without waiting.
#
# Readable while idle means dead: the peer closed, or sent something nobody asked for (a late 408, a forged response,
# a TLS close_notify). An error or hang-up is dead too. How often to look is the caller's policy.
#
# Threading kind: frozen (stateless).

from libc.stdint cimport intptr_t

cdef bint idle_alive(intptr_t fd) noexcept nogil
