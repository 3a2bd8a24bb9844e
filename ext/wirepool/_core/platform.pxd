# Declarations of wp_platform.h: the only door to sockets, clocks and atomics. No behaviour here; see the header.
#
# Threading kind: frozen (stateless functions).

from libc.stdint cimport int64_t, intptr_t, uint64_t

cdef extern from "wp_platform.h" nogil:
    const int WP_EINTR
    const int WP_EAGAIN
    const int WP_EPIPE
    const int WP_ECONNRESET
    const int WP_ECONNABORTED
    const int WP_EPROTOTYPE
    ctypedef int wp_flag
    void *wp_unconst(const void *p) noexcept
    int wp_errno() noexcept
    int64_t wp_now_ns() noexcept
    Py_ssize_t wp_recv(intptr_t fd, char *data, size_t length, int may_block) noexcept
    Py_ssize_t wp_send2(intptr_t fd, const char *a, size_t a_len, const char *b, size_t b_len) noexcept
    int wp_poll(intptr_t fd, int for_write, int timeout_ms) noexcept
    int wp_wait_until(intptr_t fd, int for_write, int64_t deadline_ns) noexcept
    bint wp_flag_take(wp_flag *flag) noexcept
    bint wp_flag_take_briefly(wp_flag *flag) noexcept
    void wp_flag_drop(wp_flag *flag) noexcept
    bint wp_flag_taken(const wp_flag *flag) noexcept
    unsigned int wp_word_load(const unsigned int *word) noexcept
    void wp_word_store(unsigned int *word, unsigned int value) noexcept

cdef extern from "wp_platform.h":
    unsigned int wp_type_version(object type) noexcept
    uint64_t wp_dict_version(object dictionary) noexcept
    dict wp_namespace(object obj)
