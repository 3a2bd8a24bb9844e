/* Makes the n-th call of a system or library function fail, of the thread that asked for it and of no other.
 *
 * Preloaded (LD_PRELOAD) into a process of its own, and steered from within by the functions at the end, through ctypes;
 * see faults.py. Nothing happens until a thread arms it. Allocations are met in two places: the C library's, and those of
 * Python's three allocators, once torture_hook_python() was called. Linux with glibc. Threading kind: thread-local.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum call { SOCKET, CONNECT, SEND, SENDMSG, WRITE, RECV, READ, POLL, SETSOCKOPT, GETSOCKOPT, CLOSE, SHUTDOWN, IOCTL,
            GETADDRINFO, MALLOC, PYTHON, N_CALLS };

/* What becomes of the call: an errno if positive, or one of these. */
enum { SHORT = -1, NOTHING = -2, REAL_THEN_EINTR = -3, REAL_THEN_EIO = -4, GAI = -100 };

static __thread struct { int on, call, action; long countdown, hits; long calls[N_CALLS]; } mine;

/* 0: do the real thing; otherwise what is to become of it. */
static int fault(enum call call) {
    if (!mine.on) return 0;
    mine.calls[call]++;
    if ((int)call != mine.call || --mine.countdown != 0) return 0;
    mine.hits++;
    return mine.action;
}

#define REAL(name) \
    static __typeof__(name) *real; \
    if (!real) real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

/* What a connection's own error leaves behind, or what comes next would contradict it. */
static void break_off(int fd, int action) {
    if (action == EPIPE || action == ECONNRESET || action == ETIMEDOUT) {
        REAL(shutdown);
        real(fd, SHUT_RDWR);
    }
}

#define FAIL(action) do { if ((action) > 0) { errno = (action); return -1; } } while (0)

static int is_socket(int fd) {
    int type, saved = errno;
    socklen_t size = sizeof type;
    REAL(getsockopt);
    int answer = real(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0;
    errno = saved;
    return answer;
}

int socket(int domain, int type, int protocol) {
    REAL(socket);
    int action = fault(SOCKET);
    FAIL(action);
    return real(domain, type, protocol);
}

int connect(int fd, const struct sockaddr *address, socklen_t size) {
    REAL(connect);
    int action = fault(CONNECT);
    FAIL(action);
    int rc = real(fd, address, size);
    if (action == REAL_THEN_EINTR) { errno = EINTR; return -1; } /* the kernel goes on connecting */
    return rc;
}

ssize_t send(int fd, const void *data, size_t size, int flags) {
    REAL(send);
    int action = fault(SEND);
    break_off(fd, action);
    FAIL(action);
    return real(fd, data, action == SHORT && size ? 1 : size, flags);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
    REAL(sendmsg);
    int action = fault(SENDMSG);
    break_off(fd, action);
    FAIL(action);
    if (action == SHORT && message->msg_iovlen && message->msg_iov[0].iov_len) {
        REAL(send);
        return real(fd, message->msg_iov[0].iov_base, 1, flags);
    }
    return real(fd, message, flags);
}

ssize_t write(int fd, const void *data, size_t size) {
    REAL(write);
    int action = mine.on && is_socket(fd) ? fault(WRITE) : 0;
    break_off(fd, action);
    FAIL(action);
    return real(fd, data, action == SHORT && size ? 1 : size);
}

ssize_t recv(int fd, void *data, size_t size, int flags) {
    REAL(recv);
    int action = fault(RECV);
    break_off(fd, action);
    FAIL(action);
    if (action == NOTHING) return 0;
    return real(fd, data, action == SHORT && size ? 1 : size, flags);
}

ssize_t read(int fd, void *data, size_t size) {
    REAL(read);
    int action = mine.on && is_socket(fd) ? fault(READ) : 0;
    break_off(fd, action);
    FAIL(action);
    if (action == NOTHING) return 0;
    return real(fd, data, action == SHORT && size ? 1 : size);
}

int poll(struct pollfd *fds, nfds_t n, int timeout) {
    REAL(poll);
    int action = fault(POLL);
    FAIL(action);
    if (action == NOTHING) {
        for (nfds_t i = 0; i < n; i++) fds[i].revents = 0;
        return 0;
    }
    return real(fds, n, timeout);
}

int epoll_wait(int fd, struct epoll_event *events, int n, int timeout) {
    REAL(epoll_wait);
    int action = fault(POLL);
    FAIL(action);
    return action == NOTHING ? 0 : real(fd, events, n, timeout);
}

int setsockopt(int fd, int level, int name, const void *value, socklen_t size) {
    REAL(setsockopt);
    int action = fault(SETSOCKOPT);
    FAIL(action);
    return real(fd, level, name, value, size);
}

int getsockopt(int fd, int level, int name, void *restrict value, socklen_t *restrict size) {
    REAL(getsockopt);
    int action = fault(GETSOCKOPT);
    FAIL(action);
    return real(fd, level, name, value, size);
}

/* Linux gives the number free whatever close() returns. */
int close(int fd) {
    REAL(close);
    int action = fault(CLOSE);
    int rc = real(fd);
    if (action == REAL_THEN_EINTR) { errno = EINTR; return -1; }
    if (action == REAL_THEN_EIO) { errno = EIO; return -1; }
    return rc;
}

int shutdown(int fd, int how) {
    REAL(shutdown);
    int action = fault(SHUTDOWN);
    FAIL(action);
    return real(fd, how);
}

/* FIONBIO: how Python's sockets change their mode. */
int ioctl(int fd, unsigned long request, ...) {
    va_list rest;
    va_start(rest, request);
    void *argument = va_arg(rest, void *);
    va_end(rest);
    REAL(ioctl);
    int action = mine.on && is_socket(fd) ? fault(IOCTL) : 0;
    FAIL(action);
    return real(fd, request, argument);
}

int getaddrinfo(const char *host, const char *service, const struct addrinfo *hints, struct addrinfo **found) {
    REAL(getaddrinfo);
    int action = fault(GETADDRINFO);
    if (action <= GAI) return action - GAI; /* EAI_... are small and negative */
    return real(host, service, hints, found);
}

/* The C library's own names: dlsym() itself allocates. */
extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);

void *malloc(size_t size) {
    if (fault(MALLOC)) { errno = ENOMEM; return NULL; }
    return __libc_malloc(size);
}

void *calloc(size_t n, size_t size) {
    if (fault(MALLOC)) { errno = ENOMEM; return NULL; }
    return __libc_calloc(n, size);
}

void *realloc(void *old, size_t size) {
    if (fault(MALLOC)) { errno = ENOMEM; return NULL; }
    return __libc_realloc(old, size);
}

/* As in CPython's pymem.h, part of the stable documentation since 3.5. */
struct allocator {
    void *context;
    void *(*malloc)(void *, size_t);
    void *(*calloc)(void *, size_t, size_t);
    void *(*realloc)(void *, void *, size_t);
    void (*free)(void *, void *);
};

static struct allocator originals[3];

static void *python_malloc(void *context, size_t size) {
    const struct allocator *original = context;
    return fault(PYTHON) ? NULL : original->malloc(original->context, size);
}

static void *python_calloc(void *context, size_t n, size_t size) {
    const struct allocator *original = context;
    return fault(PYTHON) ? NULL : original->calloc(original->context, n, size);
}

static void *python_realloc(void *context, void *old, size_t size) {
    const struct allocator *original = context;
    return fault(PYTHON) ? NULL : original->realloc(original->context, old, size);
}

static void python_free(void *context, void *old) {
    const struct allocator *original = context;
    original->free(original->context, old);
}

/* Where Python's three allocators (raw, mem, object) can fail from now on. 0, or -1 if this process is no Python. */
int torture_hook_python(void) {
    void (*get)(int, struct allocator *) = (void (*)(int, struct allocator *))dlsym(RTLD_DEFAULT, "PyMem_GetAllocator");
    void (*set)(int, struct allocator *) = (void (*)(int, struct allocator *))dlsym(RTLD_DEFAULT, "PyMem_SetAllocator");
    if (!get || !set) return -1;
    for (int domain = 0; domain < 3; domain++) {
        struct allocator ours = {&originals[domain], python_malloc, python_calloc, python_realloc, python_free};
        get(domain, &originals[domain]);
        set(domain, &ours);
    }
    return 0;
}

/* The n-th `call` of this thread from now on becomes `action`; with n = 0 calls are only counted. */
void torture_arm(int call, int action, long n) {
    memset(&mine, 0, sizeof mine);
    mine.call = call;
    mine.action = action;
    mine.countdown = n;
    mine.on = 1;
}

/* How often it happened. */
long torture_disarm(void) {
    mine.on = 0;
    return mine.hits;
}

long torture_calls(int call) { return mine.calls[call]; }
