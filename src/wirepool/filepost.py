"""Bodies of type ``multipart/form-data`` (RFC 7578)."""

from __future__ import annotations

import codecs
import os
from collections.abc import Iterator, Mapping, Sequence
from io import BytesIO
from typing import TYPE_CHECKING

from wirepool._reexports import reexports
from wirepool.fields import _TYPE_FIELD_VALUE_TUPLE, RequestField

if not TYPE_CHECKING:
    __getattr__ = reexports(__name__)

_TYPE_FIELDS_SEQUENCE = Sequence[tuple[str, _TYPE_FIELD_VALUE_TUPLE] | RequestField]
_TYPE_FIELDS = _TYPE_FIELDS_SEQUENCE | Mapping[str, _TYPE_FIELD_VALUE_TUPLE]

writer = codecs.getwriter("utf-8")


def choose_boundary() -> str:
    """A fresh line that separates parts: 32 hexadecimal digits of randomness, so no data will contain it."""
    return os.urandom(16).hex()


def iter_field_objects(fields: _TYPE_FIELDS) -> Iterator[RequestField]:
    """The parts that the argument of :func:`encode_multipart_formdata` stands for."""
    for field in fields.items() if isinstance(fields, Mapping) else fields:
        if isinstance(field, RequestField):
            yield field
        else:
            yield RequestField.from_tuples(*field)


def encode_multipart_formdata(fields: _TYPE_FIELDS, boundary: str | None = None) -> tuple[bytes, str]:
    """Write a form as the body of a request.

    :param fields: a mapping, or an iterable of pairs, from field name to value; instead of a pair there may also be a
        :class:`~wirepool.fields.RequestField`. A value is ``str`` or ``bytes``, or a tuple that describes a file:
        ``(filename, data)`` or ``(filename, data, media_type)``.
    :param boundary: what separates the parts; chosen at random if not given.
    :returns: the body, and the ``Content-Type`` that goes with it.
    :raises TypeError: data is neither ``str``, bytes-like nor ``int``.
    """
    if boundary is None:
        boundary = choose_boundary()
    body = BytesIO()
    for field in iter_field_objects(fields):
        body.write(f"--{boundary}\r\n".encode("latin-1"))
        body.write(field.render_headers().encode("utf-8"))
        body.write(_octets(field.data))
        body.write(b"\r\n")
    body.write(f"--{boundary}--\r\n".encode("latin-1"))
    return body.getvalue(), f"multipart/form-data; boundary={boundary}"


def _octets(data: str | bytes | int) -> bytes:
    if isinstance(data, int):
        data = str(data)
    return data.encode("utf-8") if isinstance(data, str) else data
