"""The terms that text search counts: every identifier in lower case, and its camelCase and snake_case parts."""

import re
from functools import lru_cache

_WORD = re.compile(r"[^\W\d]\w*")
_PART = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|[^\W\d_A-Za-z]+")


def words_of(text: str) -> list[str]:
    """Return the identifiers and words of a text, in order, as they are written.

    >>> words_of("x1 = readFile(path, 2)")
    ['x1', 'readFile', 'path']
    """
    return _WORD.findall(text)


@lru_cache(maxsize=1 << 14)
def terms_of_word(word: str) -> tuple[str, ...]:
    """Return the terms of one word: itself in lower case, then its parts of two letters or more.

    >>> terms_of_word("HTTPServer_name")
    ('httpserver_name', 'http', 'server', 'name')
    >>> terms_of_word("path")
    ('path',)
    """
    if word.islower() and word.isascii() and word.isalpha():
        return (word,)
    parts = _PART.findall(word)
    if len(parts) < 2:
        bare = word.strip("_").lower()
        whole = word.lower()
        return (whole,) if bare == whole or len(bare) < 2 else (whole, bare)
    return (word.lower(), *[part.lower() for part in parts if len(part) > 1])


def terms_of(text: str) -> list[str]:
    """Return the terms of a text with their multiplicity: a document, or a query, of BM25."""
    return [term for word in words_of(text) for term in terms_of_word(word)]
