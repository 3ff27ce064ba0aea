"""Messages on a byte stream: `Content-Length` headers, a blank line, a JSON body."""

import re
from collections.abc import Iterator
from typing import Final

_LENGTH: Final = re.compile(rb"content-length:[ \t]*(\d+)[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)
_HEADER_END: Final = re.compile(rb"\r?\n\r?\n")
_LONGEST_HEADER: Final = 8192


def frame(body: bytes) -> bytes:
    """Put the header in front of a body."""
    return b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


class Framing:
    """Cuts a stream into bodies; bytes may come in any pieces."""

    def __init__(self) -> None:
        self._pending = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take more bytes; yield each body that is complete."""
        self._pending += data
        while (body := self._take()) is not None:
            yield body

    @property
    def pending(self) -> bytes:
        """The bytes of a message that is not complete yet."""
        return bytes(self._pending)

    def _take(self) -> bytes | None:
        while True:
            end = _HEADER_END.search(self._pending)
            if end is None:
                # No header is this long: the stream is not what we think, and it must not fill the memory.
                if len(self._pending) > _LONGEST_HEADER:
                    del self._pending[:-_LONGEST_HEADER]
                return None
            length = _LENGTH.search(self._pending, 0, end.start() + 1)
            if length is not None:
                break
            del self._pending[: end.end()]
        size = int(length[1])
        if len(self._pending) < end.end() + size:
            return None
        body = bytes(self._pending[end.end() : end.end() + size])
        del self._pending[: end.end() + size]
        return body
