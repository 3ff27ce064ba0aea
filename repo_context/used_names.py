"""The names that a file uses, where no tree is needed to find them: in compiled code, or as `name_lexer` does."""

import ctypes
from functools import cache

from repo_context.name_lexer import LEXED
from repo_context.native_library import library

_NUMBERED = {language: number for number, language in enumerate(LEXED)}


def used_names(encoded: bytes, language: str) -> frozenset[str]:
    """Return the names that a text uses; the language is one of `LEXED`."""
    found = library()
    names = b"\n".join(LEXED[language](encoded)) if found is None else _Finder.of(found).names(encoded, language)
    return frozenset(names.decode("utf-8", "replace").split("\n")) if names else frozenset()


class _Finder:
    """The library's own memory for one text after another; for one caller at a time."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library
        self._state = ctypes.c_void_p(library.midfill_names_new())
        self._size = ctypes.c_int64()

    @staticmethod
    @cache
    def of(library: ctypes.CDLL) -> "_Finder":
        """Return the one finder of a library."""
        return _Finder(library)

    def names(self, encoded: bytes, language: str) -> bytes:
        size = self._size
        number = _NUMBERED[language]
        address = self._library.midfill_names_used(self._state, number, encoded, len(encoded), ctypes.byref(size))
        return ctypes.string_at(address, size.value - 1) if size.value else b""
