/* What differs between platforms, in one place: sockets, poll, clock, atomics, CPython's versions of types and dicts.
 *
 * POSIX (Linux, macOS, BSD) and Windows. Functions return what the POSIX call returns; errors are read through
 * wp_errno(), right after the call, and compared with the WP_E... names. Nothing here touches Python objects except
 * wp_type_version and wp_dict_version, which need no more than a pointer. No function blocks except wp_poll.
 */
#ifndef WP_PLATFORM_H
#define WP_PLATFORM_H

#include <stddef.h>
#include <stdint.h>

/* For interfaces that only read what they are given, but were declared before `const`. */
static inline void *wp_unconst(const void *p) { return (void *)(uintptr_t)p; }

#ifdef _WIN32

#include <winsock2.h>
#include <ws2tcpip.h>
#include <windows.h>

#define WP_EINTR WSAEINTR
#define WP_EAGAIN WSAEWOULDBLOCK
#define WP_EPIPE WSAESHUTDOWN
#define WP_ECONNRESET WSAECONNRESET
#define WP_ECONNABORTED WSAECONNABORTED
#define WP_EPROTOTYPE WSAEPROTOTYPE

typedef SOCKET wp_socket;
typedef struct { const char *base; size_t len; } wp_iovec;

static inline int wp_errno(void) { return WSAGetLastError(); }

static inline int64_t wp_now_ns(void) {
    LARGE_INTEGER ticks, per_second;
    QueryPerformanceFrequency(&per_second);
    QueryPerformanceCounter(&ticks);
    return (int64_t)((double)ticks.QuadPart * 1e9 / (double)per_second.QuadPart);
}

static inline ptrdiff_t wp_recv(intptr_t fd, char *data, size_t len, int may_block) {
    (void)may_block; /* Winsock has no MSG_DONTWAIT: the socket's own mode decides */
    return recv((wp_socket)fd, data, len > 0x7fffffff ? 0x7fffffff : (int)len, 0);
}

static inline ptrdiff_t wp_send2(intptr_t fd, const char *a, size_t a_len, const char *b, size_t b_len) {
    WSABUF parts[2];
    DWORD sent = 0;
    parts[0].buf = wp_unconst(a); parts[0].len = (ULONG)a_len;
    parts[1].buf = wp_unconst(b); parts[1].len = b_len > 0x7fffffff ? 0x7fffffff : (ULONG)b_len;
    if (WSASend((wp_socket)fd, parts, b_len ? 2 : 1, &sent, 0, NULL, NULL) != 0) return -1;
    return (ptrdiff_t)sent;
}

static inline int wp_poll(intptr_t fd, int for_write, int timeout_ms) {
    WSAPOLLFD p;
    p.fd = (wp_socket)fd; p.events = for_write ? POLLOUT : POLLIN; p.revents = 0;
    return WSAPoll(&p, 1, timeout_ms);
}

#else /* POSIX */

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>

#define WP_EINTR EINTR
#define WP_EAGAIN EAGAIN
#define WP_EPIPE EPIPE
#define WP_ECONNRESET ECONNRESET
#define WP_ECONNABORTED ECONNABORTED
#define WP_EPROTOTYPE EPROTOTYPE

#ifdef MSG_NOSIGNAL
#define WP_SEND_FLAGS (MSG_DONTWAIT | MSG_NOSIGNAL)
#else /* macOS: CPython ignores SIGPIPE for the whole process */
#define WP_SEND_FLAGS MSG_DONTWAIT
#endif

static inline int wp_errno(void) { return errno == EWOULDBLOCK ? EAGAIN : errno; }

static inline int64_t wp_now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000LL + now.tv_nsec;
}

/* With may_block, a descriptor in blocking mode waits in the call itself; one in non-blocking mode never does. */
static inline ptrdiff_t wp_recv(intptr_t fd, char *data, size_t len, int may_block) {
    return recv((int)fd, data, len, may_block ? 0 : MSG_DONTWAIT);
}

/* One packet for head and body where they fit: the reason sendmsg is used and not two sends. */
static inline ptrdiff_t wp_send2(intptr_t fd, const char *a, size_t a_len, const char *b, size_t b_len) {
    struct iovec parts[2];
    struct msghdr message = {0};
    if (b_len == 0) return send((int)fd, a, a_len, WP_SEND_FLAGS);
    if (a_len == 0) return send((int)fd, b, b_len, WP_SEND_FLAGS);
    parts[0].iov_base = wp_unconst(a); parts[0].iov_len = a_len;
    parts[1].iov_base = wp_unconst(b); parts[1].iov_len = b_len;
    message.msg_iov = parts; message.msg_iovlen = 2;
    return sendmsg((int)fd, &message, WP_SEND_FLAGS);
}

static inline int wp_poll(intptr_t fd, int for_write, int timeout_ms) {
    struct pollfd p;
    p.fd = (int)fd; p.events = for_write ? POLLOUT : POLLIN; p.revents = 0;
    return poll(&p, 1, timeout_ms);
}

#endif

/* Waits for `fd` until `deadline_ns` (monotonic; negative: for ever). 1 ready, 0 the deadline has passed, -1 error.
 * poll's timeout is rounded up to whole milliseconds, so that a wait never ends before its deadline. */
static inline int wp_wait_until(intptr_t fd, int for_write, int64_t deadline_ns) {
    int64_t left;
    if (deadline_ns < 0) return wp_poll(fd, for_write, -1);
    left = deadline_ns - wp_now_ns();
    if (left <= 0) return wp_poll(fd, for_write, 0);
    left = (left + 999999) / 1000000;
    return wp_poll(fd, for_write, left > 0x7fffffff ? 0x7fffffff : (int)left);
}

/* A flag that one thread at a time may hold: guards objects of the "confined" kind, with and without a GIL. Who takes it
 * briefly, for a few steps in C without waits and without Python, keeps others waiting in place of turning them away. */
#define WP_FLAG_HELD 1
#define WP_FLAG_BRIEFLY 2
#if defined(_MSC_VER)
typedef volatile long wp_flag;
static inline long wp_flag_swap(wp_flag *flag, long how) { return _InterlockedCompareExchange(flag, how, 0); }
static inline void wp_flag_drop(wp_flag *flag) { _InterlockedExchange(flag, 0); }
static inline int wp_flag_taken(const wp_flag *flag) { return *flag != 0; }
#else
typedef int wp_flag;
/* What the flag was; taken if that is 0. */
static inline int wp_flag_swap(wp_flag *flag, int how) {
    int was = 0;
    __atomic_compare_exchange_n(flag, &was, how, 0, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
    return was;
}
#ifdef Py_GIL_DISABLED
/* Who drops one flag and then looks at another must see it if who took that one then found the first one taken. */
static inline void wp_flag_drop(wp_flag *flag) { (void)__atomic_exchange_n(flag, 0, __ATOMIC_SEQ_CST); }
static inline int wp_flag_taken(const wp_flag *flag) { return __atomic_load_n(flag, __ATOMIC_SEQ_CST) != 0; }
#else
static inline void wp_flag_drop(wp_flag *flag) { __atomic_store_n(flag, 0, __ATOMIC_RELEASE); }
/* For who only wants to know: by the time he does, it may be otherwise. */
static inline int wp_flag_taken(const wp_flag *flag) { return __atomic_load_n(flag, __ATOMIC_RELAXED) != 0; }
#endif
#endif

/* A word that is written while others read it: who sees a value sees all that was written before it. */
#if defined(_MSC_VER)
static inline unsigned int wp_word_load(const unsigned int *word) { return *(const volatile unsigned int *)word; }
static inline void wp_word_store(unsigned int *word, unsigned int value) { *(volatile unsigned int *)word = value; }
#else
static inline unsigned int wp_word_load(const unsigned int *word) { return __atomic_load_n(word, __ATOMIC_ACQUIRE); }
static inline void wp_word_store(unsigned int *word, unsigned int value) {
    __atomic_store_n(word, value, __ATOMIC_RELEASE);
}
#endif

static inline int wp_flag_take_as(wp_flag *flag, int how) {
    for (;;) {
        switch (wp_flag_swap(flag, how)) {
        case 0: return 1;
        case WP_FLAG_HELD: return 0;
        default: break; /* a matter of nanoseconds */
        }
    }
}
static inline int wp_flag_take(wp_flag *flag) { return wp_flag_take_as(flag, WP_FLAG_HELD); }
static inline int wp_flag_take_briefly(wp_flag *flag) { return wp_flag_take_as(flag, WP_FLAG_BRIEFLY); }

/* The namespace of an object, its __dict__.
 *
 * Python 3.11 makes the dict when it is first asked for, around the values that the object has until then. When making it
 * sets off the garbage collector, and a finalizer, or a thread that comes in while that runs, asks for the namespace of
 * the same object, two dicts own the same values, and memory is corrupted. Later Pythons collect between instructions
 * only, or make the dict under a lock. */
#ifdef Py_PYTHON_H
static inline PyObject *wp_namespace(PyObject *obj) {
#if PY_VERSION_HEX < 0x030C0000
    int collecting = PyGC_Disable();
    PyObject *namespace = PyObject_GenericGetDict(obj, NULL);
    if (collecting) PyGC_Enable();
    return namespace;
#else
    return PyObject_GenericGetDict(obj, NULL);
#endif
}
#endif

/* CPython gives a type a new version when it, or a base of it, is written to; 0 means "not known".
 * Reading it is how the gate learns, in a nanosecond, that nothing was patched since it last looked. */
#ifdef Py_PYTHON_H
static inline unsigned int wp_type_version(PyObject *type) {
    return ((PyTypeObject *)type)->tp_version_tag;
}

/* The same of a dict, where CPython has that: until 3.13, and with a GIL. */
#if PY_VERSION_HEX < 0x030E0000 && !defined(Py_GIL_DISABLED)
#if defined(__GNUC__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
#elif defined(_MSC_VER)
#pragma warning(push)
#pragma warning(disable : 4996)
#endif
static inline uint64_t wp_dict_version(PyObject *dictionary) {
    return ((PyDictObject *)dictionary)->ma_version_tag;
}
#if defined(__GNUC__)
#pragma GCC diagnostic pop
#elif defined(_MSC_VER)
#pragma warning(pop)
#endif
#else
static inline uint64_t wp_dict_version(PyObject *dictionary) {
    (void)dictionary;
    return 0;
}
#endif
#endif

#endif
