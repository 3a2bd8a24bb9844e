"""The parts of a ``multipart/form-data`` body, and the header section each of them starts with (RFC 7578)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from wirepool._reexports import reexports

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Self
else:
    __getattr__ = reexports(__name__)

_TYPE_FIELD_VALUE = str | bytes
# The data alone; or file name and data; or file name, data and media type.
_TYPE_FIELD_VALUE_TUPLE = _TYPE_FIELD_VALUE | tuple[str, _TYPE_FIELD_VALUE] | tuple[str, _TYPE_FIELD_VALUE, str]

# The three characters that would end a quoted parameter, and how browsers write them instead: section "multipart form
# data" of the WHATWG HTML standard. Backslash stays as it is there, too.
_PARAM_ESCAPES = {ord('"'): "%22", ord("\n"): "%0A", ord("\r"): "%0D"}
_HEADERS_FIRST = ("Content-Disposition", "Content-Type", "Content-Location")

_find_line_break = re.compile("[\r\n]").search


def guess_content_type(filename: str | None, default: str = "application/octet-stream") -> str:
    """The media type that the ending of a file's name suggests, or ``default``."""
    if not filename:
        return default
    from mimetypes import guess_type

    return guess_type(filename)[0] or default


def format_multipart_header_param(name: str, value: _TYPE_FIELD_VALUE) -> str:
    """Write ``name="value"`` the way browsers do it in ``multipart/form-data``.

    Double quotes and line breaks in the value are percent-encoded, everything else is left alone; it will go out as
    UTF-8. A value given as ``bytes`` has to be UTF-8. The name is taken as it is.
    """
    return f'{name}="{_text(value).translate(_PARAM_ESCAPES)}"'


def format_header_param_rfc2231(name: str, value: _TYPE_FIELD_VALUE) -> str:
    """Deprecated. Write ``name="value"``, or ``name*=utf-8''value`` in the notation of RFC 2231 if need be.

    Forms must not use that notation: RFC 7578 section 4.2.
    """
    _warn("format_header_param_rfc2231 is deprecated: its notation is not valid in multipart/form-data", stacklevel=3)
    value = _text(value)
    if value.isascii() and not any(char in value for char in '"\\\r\n'):
        return f'{name}="{value}"'
    from email.utils import encode_rfc2231

    return f"{name}*={encode_rfc2231(value, 'utf-8')}"


def format_header_param_html5(name: str, value: _TYPE_FIELD_VALUE) -> str:
    """Deprecated name of :func:`format_multipart_header_param`."""
    _warn("format_header_param_html5 is deprecated, use format_multipart_header_param", stacklevel=3)
    return format_multipart_header_param(name, value)


def format_header_param(name: str, value: _TYPE_FIELD_VALUE) -> str:
    """Deprecated name of :func:`format_multipart_header_param`."""
    _warn("format_header_param is deprecated, use format_multipart_header_param", stacklevel=3)
    return format_multipart_header_param(name, value)


def _text(value: _TYPE_FIELD_VALUE) -> str:
    return value.decode("utf-8") if isinstance(value, bytes) else value


def _warn(message: str, stacklevel: int) -> None:
    import warnings

    warnings.warn(message, FutureWarning, stacklevel=stacklevel)


class RequestField:
    """One part of a form: a name, its data, and the headers in front of the data.

    :param name: name of the form field.
    :param data: the content; ``str`` goes out as UTF-8.
    :param filename: what to call the file on the other side.
    :param headers: header fields of this part; copied. Entries without a value are left out when rendering.
    :param header_formatter: deprecated; how to write a parameter of ``Content-Disposition``.
    """

    def __init__(
        self,
        name: str,
        data: _TYPE_FIELD_VALUE,
        filename: str | None = None,
        headers: Mapping[str, str] | None = None,
        header_formatter: Callable[[str, _TYPE_FIELD_VALUE], str] | None = None,
    ) -> None:
        self._name = name
        self._filename = filename
        self.data = data
        self.headers: dict[str, str | None] = dict(headers) if headers else {}
        if header_formatter is not None:
            _warn("the header_formatter argument of RequestField is deprecated", stacklevel=3)
            self.header_formatter = header_formatter
        else:
            self.header_formatter = format_multipart_header_param

    @classmethod
    def from_tuples(
        cls,
        fieldname: str,
        value: _TYPE_FIELD_VALUE_TUPLE,
        header_formatter: Callable[[str, _TYPE_FIELD_VALUE], str] | None = None,
    ) -> Self:
        """Make a part from the short notations that :func:`~wirepool.encode_multipart_formdata` takes.

        :param value: the data alone; or ``(filename, data)``, which makes a file whose media type is guessed from its
            name; or ``(filename, data, media_type)``.
        :raises ValueError: a tuple of another length.
        """
        filename: str | None = None
        content_type: str | None = None
        if not isinstance(value, tuple):
            data = value
        elif len(value) == 3:
            filename, data, content_type = value
        else:
            filename, data = value
            content_type = guess_content_type(filename)

        part = cls(fieldname, data, filename=filename, header_formatter=header_formatter)
        part.make_multipart(content_type=content_type)
        return part

    def _render_part(self, name: str, value: _TYPE_FIELD_VALUE) -> str:
        """Write one header parameter. May be overridden."""
        return self.header_formatter(name, value)

    def _render_parts(
        self, header_parts: Mapping[str, _TYPE_FIELD_VALUE | None] | Iterable[tuple[str, _TYPE_FIELD_VALUE | None]]
    ) -> str:
        """Write header parameters, leaving out those that are ``None``."""
        parts = header_parts.items() if isinstance(header_parts, Mapping) else header_parts
        return "; ".join(self._render_part(name, value) for name, value in parts if value is not None)

    def render_headers(self) -> str:
        """The header section of this part, the empty line at its end included.

        :raises ValueError: a name or value contains a line break and would thus add headers or end the section.
        """
        names = [name for name in _HEADERS_FIRST if self.headers.get(name)]
        names += [name for name, value in self.headers.items() if value and name not in _HEADERS_FIRST]
        lines = [f"{name}: {self.headers[name]}" for name in names]
        for line in lines:
            if _find_line_break(line):
                raise ValueError(f"line break in the header of a form field: {line!r}")
        return "".join(f"{line}\r\n" for line in (*lines, ""))

    def make_multipart(
        self,
        content_disposition: str | None = None,
        content_type: str | None = None,
        content_location: str | None = None,
    ) -> None:
        """Set the headers that make this a part of a form.

        :param content_disposition: ``form-data`` if not given; name and file name are added to it.
        :param content_type: media type of the data; not stated if ``None``.
        :param content_location: URL of the data; not stated if ``None``.
        """
        parameters = self._render_parts((("name", self._name), ("filename", self._filename)))
        self.headers["Content-Disposition"] = "; ".join((content_disposition or "form-data", parameters))
        self.headers["Content-Type"] = content_type
        self.headers["Content-Location"] = content_location
