"""What pools and managers share: turning form fields and JSON into a URL or a body."""

from __future__ import annotations

from types import MethodType
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from wirepool._collections import HTTPHeaderDict
from wirepool._reexports import reexports
from wirepool.filepost import encode_multipart_formdata

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wirepool._aliases import _TYPE_ENCODE_URL_FIELDS
    from wirepool._base_connection import _TYPE_BODY
    from wirepool.filepost import _TYPE_FIELDS
    from wirepool.response import BaseHTTPResponse
else:
    __getattr__ = reexports(__name__)

__all__ = ["RequestMethods"]


class RequestMethods:
    """Base class of everything that can ``urlopen``; adds :meth:`request`.

    :param headers: header fields of every request that does not bring its own. They are never merged: a request that
        has headers, has those only.
    """

    _encode_url_methods = {"DELETE", "GET", "HEAD", "OPTIONS"}

    def __init__(self, headers: Mapping[str, str] | None = None) -> None:
        self.headers = headers or {}

    def urlopen(
        self,
        method: str,
        url: str,
        body: _TYPE_BODY | None = None,
        headers: Mapping[str, str] | None = None,
        encode_multipart: bool = True,
        multipart_boundary: str | None = None,
        **kw: Any,
    ) -> BaseHTTPResponse:
        """Carry out one request whose URL and body are ready. For subclasses to define."""
        raise NotImplementedError(f"{type(self).__name__} does not define urlopen()")

    def request(
        self,
        method: str,
        url: str,
        body: _TYPE_BODY | None = None,
        fields: _TYPE_FIELDS | None = None,
        headers: Mapping[str, str] | None = None,
        json: Any | None = None,
        **urlopen_kw: Any,
    ) -> BaseHTTPResponse:
        """Make a request.

        :param method: such as ``"GET"``; is put into upper case.
        :param url: where to; a path may do for a pool.
        :param body: ``str`` (goes out as UTF-8), ``bytes``, a file, or an iterable of ``bytes``.
        :param fields: a form. DELETE, GET, HEAD and OPTIONS add it to the URL's query, other methods send it as body,
            see :func:`~wirepool.encode_multipart_formdata`.
        :param headers: header fields, instead of those of this pool or manager.
        :param json: an object to send as JSON, with ``Content-Type: application/json`` unless ``headers`` has another.
        :param urlopen_kw: all that ``urlopen`` takes; for a form in the body also ``encode_multipart`` and
            ``multipart_boundary``, see :meth:`request_encode_body`.
        :raises TypeError: two of ``body``, ``json`` and, where it would be the body, ``fields`` are given.
        """
        method = method.upper()
        if fields is None and body is None and json is None and method in self._encode_url_methods:
            step = self.request_encode_url
            # Nothing to encode, so the step can be left out - unless somebody put a step of their own in its place.
            if type(step) is MethodType and step.__func__ is _REQUEST_ENCODE_URL and step.__self__ is self:
                if headers is None:
                    headers = self.headers
                if urlopen_kw:
                    return self.urlopen(method, url, headers=headers, **urlopen_kw)
                return self.urlopen(method, url, headers=headers)

        if json is not None:
            if body is not None:
                raise TypeError("request got values for both 'body' and 'json' parameters which are mutually exclusive")
            body = _json_octets(json)
            headers = HTTPHeaderDict(self.headers if headers is None else headers)
            headers.setdefault("Content-Type", "application/json")
        if body is not None:
            urlopen_kw["body"] = body
        if method in self._encode_url_methods:
            return self.request_encode_url(
                method,
                url,
                fields=fields,  # type: ignore[arg-type]  # urlencode() refuses what is not for it
                headers=headers,
                **urlopen_kw,
            )
        return self.request_encode_body(method, url, fields=fields, headers=headers, **urlopen_kw)

    def request_encode_url(
        self,
        method: str,
        url: str,
        fields: _TYPE_ENCODE_URL_FIELDS | None = None,
        headers: Mapping[str, str] | None = None,
        **urlopen_kw: Any,
    ) -> BaseHTTPResponse:
        """Make a request with ``fields`` added to the URL, after a ``?``, as ``application/x-www-form-urlencoded``.

        The URL must have no query of its own.
        """
        if fields:
            url = f"{url}?{urlencode(fields)}"
        return self.urlopen(method, url, headers=self.headers if headers is None else headers, **urlopen_kw)

    def request_encode_body(
        self,
        method: str,
        url: str,
        fields: _TYPE_FIELDS | None = None,
        headers: Mapping[str, str] | None = None,
        encode_multipart: bool = True,
        multipart_boundary: str | None = None,
        **urlopen_kw: Any,
    ) -> BaseHTTPResponse:
        """Make a request with ``fields`` as its body.

        :param encode_multipart: ``multipart/form-data``, the only way to send files; if false,
            ``application/x-www-form-urlencoded``.
        :param multipart_boundary: what separates the parts; random if not given.
        :raises TypeError: both ``fields`` and ``body`` are given.

        The ``Content-Type`` that results is set only if ``headers`` has none.
        """
        fields_headers = HTTPHeaderDict(self.headers if headers is None else headers)
        if fields:
            if "body" in urlopen_kw:
                raise TypeError("request got values for both 'fields' and 'body', can only specify one.")
            body, content_type = _form_octets(fields, encode_multipart, multipart_boundary)
            fields_headers.setdefault("Content-Type", content_type)
            urlopen_kw["body"] = body
        return self.urlopen(method, url, headers=fields_headers, **urlopen_kw)


# As defined above, to tell it from what a subclass, an instance or a tracer may have put in its place.
_REQUEST_ENCODE_URL = RequestMethods.request_encode_url


def _form_octets(fields: Any, multipart: bool, boundary: str | None) -> tuple[str | bytes, str]:
    if multipart:
        return encode_multipart_formdata(fields, boundary=boundary)
    return urlencode(fields), "application/x-www-form-urlencoded"


def _json_octets(value: object) -> bytes:
    from json import dumps

    return dumps(value, separators=(",", ":"), ensure_ascii=False).encode("utf-8")
