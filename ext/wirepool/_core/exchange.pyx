"""One request and its response at a time on one transport.

Send, wait, receive, parse the head, skip interim responses (all 1xx but 101, RFC 9110 15.2), decide how the body ends
(RFC 9112 6.3), hand it out de-chunked, say whether the connection may be used again (RFC 9112 9.3, and no octet left
over). Assumes that its owner keeps the descriptor open and passes relative time-outs; guarantees that what is not
complete is never taken for complete, that memory follows octets received and not lengths announced, and that after any
error it refuses to go on. See exchange.pxd for the layout and the threading kind (confined).
"""

cimport cython
from cpython.buffer cimport PyBUF_READ, PyBUF_SIMPLE, PyBUF_WRITABLE, PyBUF_WRITE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.exc cimport PyErr_CheckSignals
from cpython.memoryview cimport PyMemoryView_FromMemory
from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from collections.abc import Mapping

from wirepool._core.chunked cimport (
    CHUNK_DATA,
    CHUNK_DATA_CR,
    CHUNK_DATA_LF,
    CHUNK_EXTENSION,
    CHUNK_PADDING,
    CHUNK_SIZE_FIRST,
    CHUNK_SIZE_LF,
    CHUNK_TRAILER,
    ChunkState,
    chunk_advance,
    chunk_prefix,
    chunk_took,
)
from wirepool._core.errors cimport raise_errno, raise_status
from wirepool._core.head cimport (
    WP_CHUNKED,
    WP_LENGTH,
    WP_NO_BODY,
    WP_UNTIL_CLOSE,
    fields_check,
    fields_of,
    head_framing,
    head_parse,
    head_scan,
    reason_of,
)
from wirepool._core.headers_out cimport (
    WP_OWN_ACCEPT_ENCODING,
    WP_OWN_CONTENT_LENGTH,
    WP_OWN_HOST,
    WP_OWN_TRANSFER_ENCODING,
    WP_OWN_USER_AGENT,
    own_field,
    put_bytes,
    put_content_length,
    put_field,
    put_request_line,
)
from wirepool._core.liveness cimport idle_alive
from wirepool._core.platform cimport (
    WP_ECONNABORTED,
    WP_ECONNRESET,
    WP_EPIPE,
    WP_EPROTOTYPE,
    wp_flag_drop,
    wp_flag_take,
    wp_flag_take_briefly,
    wp_flag_taken,
    wp_now_ns,
    wp_unconst,
)
from wirepool._core.sockio cimport deadline_after, sock_recv, sock_send
from wirepool._core.status cimport (
    WP_BAD_VALUE,
    WP_EOF_IN_BODY,
    WP_EOF_IN_HEAD,
    WP_EOF_NO_RESPONSE,
    WP_HEAD_TOO_LARGE,
    WP_INTERRUPTED,
    WP_LINE_TOO_LONG,
    WP_NEED_MORE,
    WP_NO_MEMORY,
    WP_OK,
    WP_OS_ERROR,
    WP_TOO_MANY_INTERIM,
    wp_status,
)
from wirepool._core.tlsio cimport TlsStream

cdef extern from "Python.h":
    # With raw pointers: a bytes object that is being filled belongs to nobody else yet, and resizing may move it.
    PyObject *new_bytes "PyBytes_FromStringAndSize"(const char *data, Py_ssize_t size) except NULL
    char *bytes_data "PyBytes_AS_STRING"(PyObject *data)
    int resize_bytes "_PyBytes_Resize"(PyObject **data, Py_ssize_t size) except -1
    void drop "Py_XDECREF"(PyObject *data)

cdef enum:
    # One receive while a head or small body is expected.
    RECEIVE = 16384
    # From this size on the octets are received where the caller wants them instead of through the buffer.
    DIRECT = 4096
    # First block for a body of unknown length; it doubles.
    UNKNOWN_BODY = 65536
    # At most this much is set aside for a length that was only announced; it doubles as octets come in.
    ANNOUNCED_BODY = 16777216
    # Interim responses before the final one: CPython's limit since June 2026 (gh-150743).
    MAX_INTERIM = 100
    # The trailer section: its size and its number of lines (reliability goal G12).
    MAX_TRAILER = 65536
    MAX_TRAILER_FIELDS = 100

LIMITS = {
    "MAX_INTERIM": MAX_INTERIM,
    "MAX_TRAILER": MAX_TRAILER,
    "MAX_TRAILER_FIELDS": MAX_TRAILER_FIELDS,
    "ANNOUNCED_BODY": ANNOUNCED_BODY,
}

COMPLETE = FLAG_COMPLETE
REUSABLE = FLAG_REUSABLE
CONTENT_ENCODING = FLAG_CONTENT_ENCODING
LOCATION = FLAG_LOCATION
RETRY_AFTER = FLAG_RETRY_AFTER
SKIPPED_LINE = FLAG_SKIPPED_LINE
TRAILERS = FLAG_TRAILERS
BOTH_LENGTHS = FLAG_BOTH_LENGTHS


cdef object _MAPPING_ITEMS = Mapping.items


cdef list _items(headers):
    """What items() gives, without the two generators and the many calls by which it does where nobody wrote one."""
    if getattr(type(headers), "items", None) is _MAPPING_ITEMS:
        return [(name, headers[name]) for name in headers]
    return list(headers.items())


@cython.final
cdef class Exchange:
    """`transport`: a descriptor (int), a socket of the standard library whose descriptor may be used directly (a
    reference is kept), a TlsStream, or, with `through_object`, anything with sendall(bytes) and recv_into(buffer).

    `host`: the value of the Host field, sent unless the request's headers have one; `agent`: of User-Agent. `skip`: a
    value that stands for "leave this automatic field out" in headers.
    """

    def __cinit__(self, transport, host, agent=None, skip=None, bint through_object=False):
        self.fd = -1
        self.transport = None
        self.tls = None
        if isinstance(transport, int):
            self.fd = transport
        elif isinstance(transport, TlsStream):
            self.tls = transport
            self.transport = self.tls.sock
        else:
            self.transport = transport
            if not through_object and hasattr(transport, "fileno"):
                self.fd = transport.fileno()
        self.poll_fd = self.fd if self.tls is None else self.tls.fd
        self.skip = skip
        self.tx = Buffer.__new__(Buffer)
        self.rx = Buffer.__new__(Buffer)
        put_field(self.tx, "Host", host)
        self.host_line = bytes(self.tx)
        self.tx.free()
        self.agent_line = b""
        if agent is not None:
            put_field(self.tx, "User-Agent", agent)
            self.agent_line = bytes(self.tx)
            self.tx.free()
        self.phase = PHASE_IDLE
        self.reusable = True
        self.trailer_section = None
        self.inside = 0

    # ------------------------------------------------------------ one thread at a time

    cdef int enter(self) except -1:
        if not wp_flag_take(&self.inside):
            raise RuntimeError("this connection is used by two threads at the same time")
        return 0

    cdef int leave(self) except -1:
        wp_flag_drop(&self.inside)
        if wp_flag_taken(&self.is_doomed):
            self._bury()
        return 0

    cdef int _bury(self) except -1:
        cdef object sock
        if not wp_flag_take_briefly(&self.inside):
            return 0  # whoever is inside does it
        if self.phase != PHASE_IDLE:
            self._break()
        self.retired = True
        wp_flag_drop(&self.inside)
        with cython.critical_section(self):
            sock = self.doomed
            self.doomed = None
        if sock is not None:
            sock.close()
        return 0

    cdef bint _is_alive(self) except -1:
        if self.retired:
            return False
        if self.poll_fd < 0:
            return True
        # What was decrypted and not asked for counts as much as what the socket has.
        return idle_alive(self.poll_fd) and (self.tls is None or self.tls.pending() == 0)

    @property
    def busy(self):
        """Whether a thread is inside: the descriptor must be shut down, not closed."""
        return wp_flag_taken(&self.inside)

    # ------------------------------------------------------------ sending

    cdef int _serialize(self, method, target, headers, object body_len) except -1:
        """The whole head into tx. `body_len`: an int, None for no body, or -1 for a body sent in chunks.

        What the caller's own fields say of the framing wins. Of both, Transfer-Encoding does, and Content-Length stays
        here: they must not go out together (RFC 9112 6.2), and who gets both reads chunks (6.3).
        """
        cdef int own = 0
        cdef int unsent = 0
        cdef list items = None
        cdef Buffer tx = self.tx
        if headers is not None:
            if type(headers) is dict:
                items = list((<dict>headers).items()) if <dict>headers else None
            else:
                items = _items(headers)
        if items is not None:
            for name, _ in items:
                own |= own_field(name)
        put_request_line(tx, method, target)
        if not own & WP_OWN_HOST:
            put_bytes(tx, self.host_line)
        if not own & WP_OWN_ACCEPT_ENCODING:
            put_bytes(tx, b"Accept-Encoding: identity\r\n")
        self.send_chunked = False
        if own & WP_OWN_TRANSFER_ENCODING:
            self.send_chunked = True
            unsent = WP_OWN_CONTENT_LENGTH
        elif body_len is not None and not own & WP_OWN_CONTENT_LENGTH:
            if body_len < 0:
                self.send_chunked = True
                put_bytes(tx, b"Transfer-Encoding: chunked\r\n")
            else:
                put_content_length(tx, body_len)
        if not own & WP_OWN_USER_AGENT:
            put_bytes(tx, self.agent_line)
        if items is not None:
            for name, value in items:
                if unsent and own_field(name) & unsent:
                    continue
                if self.skip is not None and type(value) is str and value == self.skip:
                    if not own_field(name) & (WP_OWN_HOST | WP_OWN_ACCEPT_ENCODING | WP_OWN_USER_AGENT):
                        raise_status(WP_BAD_VALUE, value)
                    continue
                put_field(tx, name, value)
        put_bytes(tx, b"\r\n")
        return 0

    cdef int _start(self, method, target, headers, object body_len, long max_fields) except -1:
        if self.retired:
            self.phase = PHASE_SENDING
            self._break()
            raise_status(WP_EOF_NO_RESPONSE)
        if self.phase != PHASE_IDLE or not self.reusable:
            raise RuntimeError("the response before this request is not complete")
        self.tx.free()
        try:
            self._serialize(method, target, headers, body_len)
        except BaseException:
            self.tx.free()
            raise
        memset(&self.scan, 0, sizeof(self.scan))
        memset(&self.chunk, 0, sizeof(self.chunk))
        self.phase = PHASE_SENDING
        self.reusable = False
        self.send_failed = self.eof = self.cut = self.in_trailer = False
        self.trailer_section = None
        self.n_interim = 0
        self.n_received = 0
        self.sent = 0
        self.wait_until = 0
        self.max_fields = <uint32_t>max(0, min(max_fields, 1000000))
        self.head_request = (isinstance(method, str) and method == "HEAD") or (
            isinstance(method, bytes) and method == b"HEAD"
        )
        return 0

    cdef wp_status _send(self, const char *body, size_t body_len, int64_t deadline_ns) noexcept nogil:
        cdef wp_status status
        if self.send_failed:
            return WP_OK
        status = sock_send(self.fd, self.tx.data + self.tx.start, self.tx.size(), body, body_len, deadline_ns,
                           &self.sent, &self.os_error)
        if status == WP_OS_ERROR and (
            self.os_error == WP_EPIPE or self.os_error == WP_ECONNRESET
            or self.os_error == WP_ECONNABORTED or self.os_error == WP_EPROTOTYPE
        ):
            # The peer stopped reading: it may have answered early (413, 401). RFC 9112 9.5.
            self.send_failed = True
            return WP_OK
        return status

    cdef int _send_all(self, const char *body, size_t body_len, double timeout) except -1:
        """tx and then body, with signals answered; tx is empty afterwards. Errors break the exchange."""
        cdef int64_t deadline_ns = deadline_after(timeout)
        cdef wp_status status
        self.sent = 0
        if self.fd < 0:
            self._send_object(body, body_len, timeout)
        else:
            while True:
                with nogil:
                    status = self._send(body, body_len, deadline_ns)
                if status == WP_OK:
                    break
                self._failed(status)
        self.tx.free()
        return 0

    cdef int _send_block(self, const char *body, size_t body_len, double timeout) except -1:
        """One chunk. The CRLF behind its data goes out with what is sent next."""
        cdef char prefix[18]
        if body_len:
            if not self.tx.append(prefix, chunk_prefix(body_len, prefix)):
                raise_status(WP_NO_MEMORY)
            self._send_all(body, body_len, timeout)
            put_bytes(self.tx, b"\r\n")
        return 0

    cdef int _send_last_block(self, double timeout) except -1:
        if self.send_chunked:
            put_bytes(self.tx, b"0\r\n\r\n")
        return self._send_all(NULL, 0, timeout)

    cdef int _send_object(self, const char *body, size_t body_len, double timeout) except -1:
        if self.send_failed:
            return 0
        try:
            self._hand_over(body, body_len, timeout)
        except (BrokenPipeError, ConnectionResetError, ConnectionAbortedError):
            self.send_failed = True
        except OSError as error:
            if error.errno != WP_EPROTOTYPE and (self.tls is None or not isinstance(error, self.tls.end_error)):
                self._break()
                raise
            self.send_failed = True
        except BaseException:
            self._break()
            raise
        return 0

    cdef int _hand_over(self, const char *body, size_t body_len, double timeout) except -1:
        """A small body goes out with what is before it; a large one is lent, over TLS but for what fills a record."""
        cdef object view
        cdef bint together = body_len <= RECEIVE
        cdef size_t n = body_len
        if not together and self.tls is not None:
            n = RECEIVE - min(<size_t>RECEIVE, self.tx.size())
        elif not together:
            n = 0
        if n and not self.tx.append(body, n):
            raise_status(WP_NO_MEMORY)
        if self.tls is not None:
            return self._hand_over_tls(body + n, body_len - n, timeout)
        self.transport.sendall(bytes(self.tx))
        if not together:
            view = PyMemoryView_FromMemory(<char *>wp_unconst(body), <Py_ssize_t>body_len, PyBUF_READ)
            try:
                self.transport.sendall(view)
            finally:
                # The memory is the caller's: who kept the view must not read it later.
                view.release()
        return 0

    cdef int _hand_over_tls(self, const char *rest, size_t n, double timeout) except -1:
        """tx and what is to follow it, within one time-out."""
        cdef int64_t deadline_ns = deadline_after(timeout)
        self.tls.send(self.tx.data + self.tx.start, self.tx.size(), timeout)
        if n and deadline_ns >= 0:
            timeout = max((deadline_ns - wp_now_ns()) / 1e9, 0.0)
        return self.tls.send(rest, n, timeout)

    # ------------------------------------------------------------ errors

    cdef void _break(self) noexcept:
        if self.phase != PHASE_BROKEN:
            self.failed_in = self.phase
        self.phase = PHASE_BROKEN
        self.reusable = False
        self.tx.free()
        self.rx.free()

    cdef void _note_answered(self) noexcept:
        self.answered = self.phase == PHASE_BODY or self.rx.size() != 0 or self.n_interim != 0

    cdef int _failed(self, wp_status status) except -1:
        """Returns after a signal that nobody minds; otherwise breaks the exchange and raises."""
        cdef object detail = None
        if status == WP_INTERRUPTED:
            try:
                PyErr_CheckSignals()
            except BaseException:
                self._break()
                raise
            return 0
        self._note_answered()
        if self.rx.size() and (self.phase == PHASE_HEAD or self.phase == PHASE_BODY):
            detail = PyBytes_FromStringAndSize(self.rx.data + self.rx.start, <Py_ssize_t>min(self.rx.size(), <size_t>200))
        self._break()
        if status == WP_OS_ERROR:
            raise_errno(self.os_error)
        raise_status(status, detail)

    # ------------------------------------------------------------ receiving: what is buffered

    cdef wp_status _want(self, size_t n) noexcept nogil:
        """Asks for octets at the end of rx."""
        if not self.rx.reserve(n):
            return WP_NO_MEMORY
        self.into = self.rx.data + self.rx.end
        self.into_len = self.rx.cap - self.rx.end
        self.into_rx = True
        return WP_NEED_MORE

    cdef void _received(self, size_t n, size_t *got) noexcept nogil:
        """n octets arrived where they were wanted; 0 is the end of the stream."""
        self.wait_until = 0
        if n == 0:
            self.eof = True
        elif self.into_rx:
            self.rx.end += n
        else:
            got[0] += n
            self._took(n)

    cdef void _took(self, size_t n) noexcept nogil:
        """n octets of body went to the caller."""
        self.n_received += n
        if self.framing == WP_LENGTH:
            self.left -= <int64_t>n
            if self.left == 0:
                self._finish()
        elif self.framing == WP_CHUNKED:
            chunk_took(&self.chunk, n)

    cdef void _finish(self) noexcept nogil:
        self.phase = PHASE_IDLE
        self.reusable = (
            self.info.keep_alive and not self.info.doubtful and not self.send_failed and not self.eof
            and self.framing != WP_UNTIL_CLOSE and self.info.status != 101 and self.rx.size() == 0
            and not self.unwanted
        )
        self.rx.free()

    cdef wp_status _head_step(self) noexcept nogil:
        """WP_OK when the final head is at the start of rx (head_len octets), framing decided."""
        cdef wp_status status
        while True:
            if self.rx.size():
                status = head_scan(&self.scan, self.rx.data + self.rx.start, self.rx.size(), self.max_fields,
                                   &self.head_len)
                if status < 0:
                    return status
                if status == WP_OK:
                    status = head_parse(self.rx.data + self.rx.start, self.head_len, &self.info)
                    if status < 0:
                        return status
                    if self.info.status >= 200 or self.info.status == 101:
                        return head_framing(&self.info, self.head_request, &self.framing, &self.left)
                    self.n_interim += 1
                    if self.n_interim > MAX_INTERIM:
                        return WP_TOO_MANY_INTERIM
                    self.rx.consume(self.head_len)
                    memset(&self.scan, 0, sizeof(self.scan))
                    continue
            if self.eof:
                if self.rx.size() == 0 and self.n_interim == 0:
                    return WP_EOF_NO_RESPONSE
                return WP_EOF_IN_HEAD
            return self._want(RECEIVE)

    cdef wp_status _end_of_stream(self) noexcept nogil:
        """What the end of the stream means inside a body."""
        if (self.framing == WP_UNTIL_CLOSE and not self.cut) or self.in_trailer:
            # The data is complete; a trailer section that was cut is forgiven, as urllib3 and http.client do. Over TLS
            # a body that only the end ends is complete only if that end is authentic (RFC 9112 9.8).
            self._finish()
            return WP_OK
        return WP_EOF_IN_BODY

    cdef wp_status _trailer_step(self) noexcept nogil:
        cdef size_t length = 0
        cdef size_t n
        cdef wp_status status
        if not self.in_trailer:
            self.in_trailer = True
            memset(&self.scan, 0, sizeof(self.scan))
            self.scan.n_lines = 1
        if self.rx.size():
            # No octet beyond the limit is looked at, so that the verdict does not depend on how much has arrived.
            n = min(self.rx.size(), <size_t>MAX_TRAILER)
            status = head_scan(&self.scan, self.rx.data + self.rx.start, n, MAX_TRAILER_FIELDS, &length)
            if status == WP_OK:
                # The section stays where it is until its end is dealt with: _end_message.
                self.head_len = length
                return WP_OK
            if status < 0:
                return status
            if n == MAX_TRAILER:
                return WP_HEAD_TOO_LARGE if self.scan.line_start else WP_LINE_TOO_LONG
        if self.eof:
            self.head_len = 0
            return WP_OK
        return self._want(RECEIVE)

    cdef wp_status _chunk_step(self) noexcept nogil:
        """To the next octet of data, or (in_trailer) to the end of the message."""
        cdef size_t eaten = 0
        cdef wp_status status = WP_NEED_MORE
        if self.chunk.state == CHUNK_DATA:
            return WP_OK
        if self.chunk.state != CHUNK_TRAILER:
            if self.rx.size():
                status = chunk_advance(&self.chunk, self.rx.data + self.rx.start, self.rx.size(), &eaten)
                if status < 0:
                    return status
                self.rx.consume(eaten)
            if status == WP_NEED_MORE:
                return WP_EOF_IN_BODY if self.eof else self._want(RECEIVE)
        return self._trailer_step() if self.chunk.state == CHUNK_TRAILER else WP_OK

    cdef wp_status _body_step(self, char *dst, size_t want, take_mode mode, size_t *got) noexcept nogil:
        """Moves what is buffered to dst[got..want). WP_OK: enough for `mode`, or the body is complete (phase)."""
        cdef size_t n
        cdef wp_status status
        while self.phase == PHASE_BODY and got[0] < want:
            if self.framing == WP_CHUNKED:
                if mode != TAKE_ALL and got[0] and self.chunk.state != CHUNK_DATA:
                    break
                status = self._chunk_step()
                if status != WP_OK:
                    return status
                if self.in_trailer:
                    return self._end_message()
            n = want - got[0]
            if self.framing == WP_LENGTH:
                n = min(n, <size_t>self.left)
            elif self.framing == WP_CHUNKED:
                n = <size_t>min(<uint64_t>n, self.chunk.remaining)
            if self.rx.size():
                n = min(n, self.rx.size())
                memcpy(dst + got[0], self.rx.data + self.rx.start, n)
                self.rx.consume(n)
                got[0] += n
                self._took(n)
                continue
            if mode == TAKE_ONCE and got[0]:
                break
            if self.eof:
                return self._end_of_stream()
            if n < DIRECT:
                return self._want(RECEIVE)
            self.into = dst + got[0]
            self.into_len = n
            self.into_rx = False
            return WP_NEED_MORE
        self._look_ahead()
        return WP_OK

    cdef void _look_ahead(self) noexcept nogil:
        """When the last chunk is already buffered, ends the message now, so that the connection is free at once."""
        cdef size_t eaten = 0
        cdef ChunkState ahead
        cdef wp_status status
        if self.phase != PHASE_BODY or self.framing != WP_CHUNKED or self.rx.size() == 0:
            return
        ahead = self.chunk
        status = chunk_advance(&ahead, self.rx.data + self.rx.start, self.rx.size(), &eaten)
        # Anything but a complete, empty trailer section is left for the next read, errors included.
        if status != WP_OK or ahead.state != CHUNK_TRAILER or self.rx.size() - eaten < 2:
            return
        if self.rx.data[self.rx.start + eaten] != c'\r' or self.rx.data[self.rx.start + eaten + 1] != c'\n':
            return
        self.chunk = ahead
        self.rx.consume(eaten + 2)
        self._finish()

    cdef wp_status _end_message(self) noexcept nogil:
        """The trailer section (head_len octets at the start of rx, 0 when the stream ended) was found."""
        if self.head_len > 2:
            # Rare. The octets wait in tx, empty since the request was sent, until somebody asks for the fields. What
            # cannot be read safely is left out: the body is complete all the same, but nothing follows it here.
            if fields_check(self.rx.data + self.rx.start, self.head_len, &self.info.doubtful) == WP_OK:
                if not self.tx.append(self.rx.data + self.rx.start, self.head_len):
                    return WP_NO_MEMORY
            else:
                self.info.doubtful = True
        self.rx.consume(self.head_len)
        self._finish()
        self.in_trailer = False
        return WP_OK

    # ------------------------------------------------------------ receiving: the drivers

    cdef wp_status _receive(self) noexcept nogil:
        """From the descriptor to where it is wanted, without the GIL; waits at most read_timeout."""
        cdef size_t n = 0
        cdef wp_status status
        if self.wait_until == 0:
            self.wait_until = deadline_after(self.read_timeout)
        status = sock_recv(self.fd, self.into, self.into_len, self.wait_until,
                           self.phase == PHASE_HEAD and self.rx.size() == 0, &n, &self.os_error)
        if status != WP_OK:
            return status
        self.into_len = n
        return WP_OK

    cdef int _receive_object(self) except -1:
        """From the TLS stream or the transport object; exceptions pass through and break the exchange."""
        cdef object view
        cdef Py_ssize_t n = 0
        try:
            if self.tls is not None:
                n = self.tls.recv(self.into, self.into_len, self.read_timeout)
                self.cut = self.tls.cut
            else:
                view = PyMemoryView_FromMemory(self.into, <Py_ssize_t>self.into_len, PyBUF_WRITE)
                try:
                    n = self.transport.recv_into(view)
                finally:
                    view.release()
            if n < 0 or <size_t>n > self.into_len:
                raise ValueError("recv_into() says it received more than there was room for")
            self.into_len = <size_t>n
        except BaseException:
            self._note_answered()
            self._break()
            raise
        return 0

    cdef wp_status _run_head(self) noexcept nogil:
        cdef wp_status status
        cdef size_t none = 0
        while True:
            status = self._head_step()
            if status != WP_NEED_MORE:
                return status
            status = self._receive()
            if status != WP_OK:
                return status
            self._received(self.into_len, &none)

    cdef wp_status _run_body(self, char *dst, size_t want, take_mode mode, size_t *got) noexcept nogil:
        cdef wp_status status
        while True:
            status = self._body_step(dst, want, mode, got)
            if status != WP_NEED_MORE:
                return status
            status = self._receive()
            if status != WP_OK:
                return status
            self._received(self.into_len, got)
            if mode == TAKE_ONCE and not self.into_rx and got[0]:
                return WP_OK

    cdef int _get_head(self) except -1:
        cdef wp_status status
        cdef size_t none = 0
        self.phase = PHASE_HEAD
        while True:
            if self.fd >= 0:
                with nogil:
                    status = self._run_head()
            else:
                status = self._head_step()
                if status == WP_NEED_MORE:
                    self._receive_object()
                    self._received(self.into_len, &none)
                    continue
            if status == WP_OK:
                return 0
            self._failed(status)

    cdef int _get_body(self, char *dst, size_t want, take_mode mode, size_t *got) except -1:
        cdef wp_status status
        while True:
            if self.fd >= 0:
                with nogil:
                    status = self._run_body(dst, want, mode, got)
            else:
                status = self._body_step(dst, want, mode, got)
                if status == WP_NEED_MORE:
                    self._receive_object()
                    self._received(self.into_len, got)
                    if mode == TAKE_ONCE and not self.into_rx and got[0]:
                        return 0
                    continue
            if status == WP_OK:
                return 0
            self._failed(status)

    # ------------------------------------------------------------ results

    cdef tuple _result(self, bint preload):
        """(status, version, reason, head, body or None, flags); the head leaves the buffer."""
        cdef bytes head = PyBytes_FromStringAndSize(self.rx.data + self.rx.start, <Py_ssize_t>self.head_len)
        cdef str reason = reason_of(PyBytes_AS_STRING(head), &self.info)
        cdef object body = None
        cdef int flags = 0
        self.rx.consume(self.head_len)
        self.phase = PHASE_BODY
        if self.framing == WP_NO_BODY:
            self._finish()
        if preload:
            body = self._read(-1, TAKE_ALL)
        if self.phase == PHASE_IDLE:
            flags = FLAG_COMPLETE
            if self.reusable:
                flags |= FLAG_REUSABLE
        if self.info.has_content_encoding:
            flags |= FLAG_CONTENT_ENCODING
        if self.info.has_location:
            flags |= FLAG_LOCATION
        if self.info.has_retry_after:
            flags |= FLAG_RETRY_AFTER
        if self.info.skipped:
            flags |= FLAG_SKIPPED_LINE
        if self.info.chunked and self.info.content_length >= 0:
            flags |= FLAG_BOTH_LENGTHS
        if self.tx.size():
            flags |= FLAG_TRAILERS
        return (self.info.status, self.info.version, reason, head, body, flags)

    cdef bytes _read(self, int64_t amount, take_mode mode):
        """Up to `amount` octets of body (negative: all). Memory grows with what has arrived."""
        cdef size_t got = 0
        cdef size_t limit
        cdef size_t cap
        cdef PyObject *out
        if self.phase == PHASE_IDLE or amount == 0:
            return b""
        if self.phase != PHASE_BODY:
            raise_status(WP_EOF_IN_BODY)
        if self.framing == WP_LENGTH and <size_t>self.left <= self.rx.size() and (amount < 0 or amount >= self.left):
            return self._read_buffered()
        limit = <size_t>amount if amount >= 0 else <size_t>(<uint64_t>1 << 62)
        if self.framing == WP_LENGTH:
            limit = min(limit, <size_t>self.left)
            cap = min(limit, <size_t>ANNOUNCED_BODY)
        else:
            cap = min(limit, max(self.rx.size(), <size_t>UNKNOWN_BODY))
        out = new_bytes(NULL, <Py_ssize_t>cap)
        try:
            while True:
                self._get_body(bytes_data(out), cap, mode, &got)
                if got < cap or cap == limit or self.phase != PHASE_BODY or (mode == TAKE_ONCE and got):
                    break
                if mode == TAKE_CHUNK and self.chunk.state != CHUNK_DATA and self.framing == WP_CHUNKED:
                    break
                cap = min(limit, cap * 2)
                resize_bytes(&out, <Py_ssize_t>cap)
            if got != cap:
                resize_bytes(&out, <Py_ssize_t>got)
            return <bytes>out
        except MemoryError:
            self._break()
            raise
        finally:
            drop(out)

    cdef bytes _read_buffered(self):
        """The rest of a body whose length is known and that has wholly arrived."""
        cdef size_t n = <size_t>self.left
        cdef bytes out = PyBytes_FromStringAndSize(self.rx.data + self.rx.start, <Py_ssize_t>n)
        self.rx.consume(n)
        self._took(n)
        return out

    # ------------------------------------------------------------ for the facade

    def request(self, method, target, headers, body, bint preload, double send_timeout, double read_timeout,
                long max_fields, bint check_idle):
        """Sends a request, receives the head of its response and, with `preload`, its body.

        `body`: bytes-like, b"" for "Content-Length: 0", or None. Time-outs in seconds, negative for ever: one for
        sending, one for each wait while receiving. Returns (status, version, reason, head, body, flags), or None when
        `check_idle` found the connection dead and nothing was sent. Raises RequestRefused (nothing sent),
        ProtocolViolation, ConnectionLost, WaitTimeout, OSError, and whatever a transport object raises.
        """
        cdef Py_buffer view
        cdef bint held = False
        cdef const char *p = NULL
        cdef size_t n = 0
        self.enter()
        try:
            if check_idle and not self._is_alive():
                return None
            if body is not None:
                PyObject_GetBuffer(body, &view, PyBUF_SIMPLE)
                held = True
                p = <const char *>view.buf
                n = <size_t>view.len
            self._start(method, target, headers, None if body is None else n, max_fields)
            self.read_timeout = read_timeout
            if self.send_chunked:
                self._send_block(p, n, send_timeout)
                self._send_last_block(send_timeout)
                self._get_head()
            elif self.fd < 0:
                self._send_all(p, n, send_timeout)
                self._get_head()
            else:
                self._send_and_get_head(p, n, send_timeout)
            return self._result(preload)
        finally:
            if held:
                PyBuffer_Release(&view)
            self.leave()

    cdef bint _send_and_get_head(self, const char *body, size_t n, double timeout) except -1:
        """Sends, waits and receives the head without taking the GIL in between, unless a signal comes."""
        cdef int64_t deadline_ns
        cdef wp_status status
        with nogil:
            deadline_ns = deadline_after(timeout)
            status = self._send(body, n, deadline_ns)
            if status == WP_OK:
                self.phase = PHASE_HEAD
                self.tx.free()
                status = self._run_head()
        if status == WP_OK:
            return True
        if self.phase == PHASE_HEAD:
            self._failed(status)
            self._get_head()
            return True
        if status != WP_INTERRUPTED:
            self._failed(status)
        # A signal while sending: what went out is counted in `sent`, the rest goes out after it was looked at.
        self._failed(status)
        while True:
            with nogil:
                status = self._send(body, n, deadline_ns)
            if status == WP_OK:
                self.tx.free()
                self._get_head()
                return True
            self._failed(status)

    def begin(self, method, target, headers, object body_len, long max_fields, bint check_idle):
        """Starts a request whose body is sent in blocks: `body_len` octets, or -1 for chunked.

        The head waits for the first block. Returns whether the connection was alive (if not, nothing happened).
        """
        self.enter()
        try:
            if check_idle and not self._is_alive():
                return False
            self._start(method, target, headers, body_len, max_fields)
            return True
        finally:
            self.leave()

    cdef int _check_sending(self) except -1:
        if self.phase != PHASE_SENDING:
            if self.retired:
                raise_status(WP_EOF_NO_RESPONSE)
            raise RuntimeError("no request under way")
        return 0

    def send(self, block, double timeout):
        """Sends a block of the body, as one chunk if the body is chunked; an empty one is left out.

        Returns False when the peer has stopped reading: its response is waiting, further blocks go nowhere.
        """
        cdef Py_buffer view
        self.enter()
        try:
            self._check_sending()
            PyObject_GetBuffer(block, &view, PyBUF_SIMPLE)
            try:
                if view.len == 0:
                    return not self.send_failed
                if self.send_chunked:
                    self._send_block(<const char *>view.buf, <size_t>view.len, timeout)
                else:
                    self._send_all(<const char *>view.buf, <size_t>view.len, timeout)
            finally:
                PyBuffer_Release(&view)
            return not self.send_failed
        finally:
            self.leave()

    def finish(self, bint preload, double send_timeout, double read_timeout):
        """Ends the body and receives the response: as request() returns it."""
        self.enter()
        try:
            self._check_sending()
            self._send_last_block(send_timeout)
            self.read_timeout = read_timeout
            self._get_head()
            return self._result(preload)
        finally:
            self.leave()

    def read(self, amt=-1):
        """Exactly `amt` octets of the body unless it ends before; all of it for negative or None."""
        self.enter()
        try:
            return self._read(-1 if amt is None else amt, TAKE_ALL)
        finally:
            self.leave()

    def take_rest(self, int64_t limit):
        """The rest of a body of known length, if it is at most `limit` octets and has wholly arrived; else None."""
        self.enter()
        try:
            if (
                self.phase != PHASE_BODY or self.framing != WP_LENGTH
                or self.left > limit or <size_t>self.left > self.rx.size()
            ):
                return None
            return self._read_buffered()
        finally:
            self.leave()

    def read1(self, amt=-1):
        """What is there, or what one receive gives, at most `amt` octets; b"" only at the end."""
        cdef int64_t n = -1 if amt is None else amt
        self.enter()
        try:
            if n < 0:
                n = max(<int64_t>self.rx.size(), UNKNOWN_BODY)
            return self._read(n, TAKE_ONCE)
        finally:
            self.leave()

    def read_chunk(self, amt=-1):
        """One chunk as the peer made it, at most `amt` octets of it; like read1 for a body that is not chunked."""
        if self.framing != WP_CHUNKED:
            return self.read1(amt)
        self.enter()
        try:
            return self._read(-1 if amt is None else amt, TAKE_CHUNK)
        finally:
            self.leave()

    def readinto(self, buf):
        """Fills `buf` with what is there, or with what one receive gives; returns how much, 0 only at the end."""
        cdef Py_buffer view
        cdef size_t got = 0
        self.enter()
        try:
            PyObject_GetBuffer(buf, &view, PyBUF_WRITABLE)
            try:
                if self.phase != PHASE_BODY and self.phase != PHASE_IDLE:
                    raise_status(WP_EOF_IN_BODY)
                if view.len and self.phase == PHASE_BODY:
                    self._get_body(<char *>view.buf, <size_t>view.len, TAKE_ONCE, &got)
            finally:
                PyBuffer_Release(&view)
            return got
        finally:
            self.leave()

    def abandon(self):
        """Nobody wants the rest: the connection must be closed. Does nothing when the response is complete.

        While a thread is inside, that one goes on (shut the descriptor down to end it); the connection is not reused.
        """
        if not wp_flag_take_briefly(&self.inside):
            # The buffers are in use. A finalizer or a signal handler may come here at any time, so this does not raise.
            self.unwanted = True
            return
        if self.phase != PHASE_IDLE:
            self._break()
        wp_flag_drop(&self.inside)

    def retire(self):
        """abandon(), before the descriptor is closed: from now on nothing uses its number.

        Returns False while a thread is inside: then the descriptor must be shut down first, and bury() closes it.
        """
        if not wp_flag_take_briefly(&self.inside):
            self.unwanted = True
            return False
        if self.phase != PHASE_IDLE:
            self._break()
        self.retired = True
        wp_flag_drop(&self.inside)
        return True

    def bury(self, sock):
        """Closes `sock`, whose descriptor this is: the thread that is inside does when it comes out, if there is one.

        Until then it is kept here: nobody else may refer to it, and a socket that is forgotten closes its descriptor.
        """
        with cython.critical_section(self):
            self.doomed = sock
        wp_flag_take(&self.is_doomed)
        self._bury()

    def detach(self):
        """(buffered octets, framing, octets left, chunk_left): for a reader that goes on with the standard library.

        `chunk_left` is what http.client keeps under that name; octets of chunk framing that were already eaten are
        given back in front of the buffered ones. The exchange is broken afterwards.
        """
        self.enter()
        try:
            return self._detach()
        finally:
            self.leave()

    cdef tuple _detach(self):
        cdef bytes rest = bytes(self.rx)
        cdef object chunk_left = None
        cdef int64_t left = self.left if self.framing == WP_LENGTH else -1
        cdef bint over = self.phase == PHASE_IDLE
        names = ("none", "length", "chunked", "close")
        if self.framing == WP_CHUNKED and not over:
            if self.chunk.state == CHUNK_DATA:
                chunk_left = self.chunk.remaining
            elif self.chunk.state == CHUNK_DATA_CR:
                chunk_left = 0
            elif self.chunk.state == CHUNK_DATA_LF:
                chunk_left = 0
                rest = b"\r" + rest
            elif self.chunk.state == CHUNK_TRAILER:
                rest = b"0\r\n" + rest
            elif self.chunk.state != CHUNK_SIZE_FIRST:
                rest = self._eaten_size_line() + rest
        self._break()
        return (b"", "none", 0, None) if over else (rest, names[<int>self.framing], left, chunk_left)

    cdef bytes _eaten_size_line(self):
        cdef bytes size = b"%x" % self.chunk.size
        if self.chunk.state == CHUNK_EXTENSION:
            return size + b";"
        if self.chunk.state == CHUNK_SIZE_LF:
            return size + b"\r"
        return size + b" " if self.chunk.state == CHUNK_PADDING else size

    @property
    def failed_while(self):
        """Where the error came that broke the exchange: "sending", "head", "body", or "" when none did."""
        if self.phase != PHASE_BROKEN:
            return ""
        return ("", "sending", "head", "body", "")[<int>self.failed_in]

    @property
    def idle(self):
        """Whether a request may be started."""
        return self.phase == PHASE_IDLE and self.reusable

    @property
    def alive(self):
        """Whether the idle connection has nothing to say; always true of a transport object."""
        return self._is_alive()

    @property
    def complete(self):
        """Whether the whole body was received, and who received it is out: while a thread is inside, the end is its."""
        return self.phase == PHASE_IDLE and not wp_flag_taken(&self.inside)

    @property
    def chunked(self):
        """Whether the body is chunked."""
        return self.framing == WP_CHUNKED

    @property
    def remaining(self):
        """Octets of body still to come, -1 when only the end will tell."""
        if self.phase == PHASE_IDLE:
            return 0
        return self.left if self.framing == WP_LENGTH else -1

    @property
    def received(self):
        """Octets of body given out so far."""
        return self.n_received

    @property
    def trailers(self):
        """The trailer fields as (name, value) pairs; None before the end and when there were none."""
        if not wp_flag_take_briefly(&self.inside):
            return None  # the end is not before that thread is out
        try:
            if self.trailer_section is None and self.phase == PHASE_IDLE and self.tx.size():
                self.trailer_section = bytes(self.tx)
                self.tx.free()
        finally:
            self.leave()
        if self.trailer_section is None:
            return None
        return fields_of(<const char *>self.trailer_section, <size_t>len(self.trailer_section), False)

    @property
    def held(self):
        """Bytes of C memory held by buffers."""
        return self.tx.cap + self.rx.cap
