"""Names that a suggestion calls, and those that need no definition in a repository."""

import builtins
import keyword
import re
from typing import Final

_CALL: Final = re.compile(r"(?<![\w.$:>])([^\W\d][\w$]*)\s*(?=\()")
"""A bare name in front of a bracket; members (`x.f(`, `X::f(`, `p->f(`) may belong to any library."""
_DEFINING: Final = re.compile(r"\b(?:def|function|func|fn|fun|class|struct|interface|enum|record)\s+([^\W\d][\w$]*)")
_STRING: Final = re.compile(r"\"(?:\\.|[^\"\\])*\"?|'(?:\\.|[^'\\])*'?|`[^`]*`?")
_COMMENT: Final = re.compile(r"(?:#|//|--).*")
_SHORTEST: Final = 2

_WORDS: Final = frozenset(
    re.findall(
        r"\S+",
        """
    abstract and as assert async await break case catch class const continue default defer def delete do elif else
    end except export extends final finally fn for foreach from fun func function go guard if implements import in
    instanceof interface is lambda let match module namespace new not or package pass private protected public raise
    return select self sizeof static struct super switch this throw throws trait try type typeof union unless until
    use using val var void when where while with yield alignof decltype static_assert synchronized echo isset unset
    array list empty exit die include require include_once require_once print
    """,
    )
)
_SCRIPT: Final = frozenset(
    re.findall(
        r"\S+",
        """
    Array ArrayBuffer BigInt Boolean DataView Date Error EvalError Float32Array Float64Array Function Int16Array
    Int32Array Int8Array Intl Map Number Object Promise Proxy RangeError ReferenceError RegExp Set String Symbol
    SyntaxError TypeError URIError URL URLSearchParams Uint16Array Uint32Array Uint8Array WeakMap WeakRef WeakSet
    AbortController Blob Buffer Event EventTarget FormData Headers Request Response TextDecoder TextEncoder alert
    clearInterval clearTimeout decodeURI decodeURIComponent describe encodeURI encodeURIComponent expect fetch it
    isFinite isNaN parseFloat parseInt queueMicrotask require requestAnimationFrame setImmediate setInterval
    setTimeout structuredClone test beforeEach afterEach beforeAll afterAll jest vi constructor
    """,
    )
)
_GO: Final = frozenset(
    re.findall(
        r"\S+",
        """
    append bool byte cap clear close complex copy delete error float32 float64 imag int int16 int32 int64 int8 len
    make max min new panic print println real recover rune string uint uint16 uint32 uint64 uint8 uintptr
    """,
    )
)
_RUST: Final = frozenset(
    ("Some", "None", "Ok", "Err", "Box", "Vec", "String", "Rc", "Arc", "Self", "drop", "panic", "format", "vec")
)
_PYTHON: Final = frozenset(dir(builtins)) | frozenset(keyword.kwlist)

CHECKED: Final[dict[str, frozenset[str]]] = {
    "python": _PYTHON,
    "jupyter": _PYTHON,
    "javascript": _SCRIPT,
    "typescript": _SCRIPT,
    "tsx": _SCRIPT,
    "go": _GO,
    "rust": _RUST,
}
"""Languages in which a bare call names something that the file, its imports or the language must define.

In the others a bare call may be a method of a base class from a library, or come out of a header of the system.
"""


def called_names(text: str, language: str) -> frozenset[str]:
    """Return the bare names that a text calls and neither defines nor has from its language.

    >>> sorted(called_names("total = summ(len(x), y.mean())", "python"))
    ['summ']
    """
    known = CHECKED.get(language)
    if known is None:
        return frozenset()
    code = "\n".join(_COMMENT.sub("", line) for line in _STRING.sub('""', text).split("\n"))
    called = {name for name in _CALL.findall(code) if len(name) > _SHORTEST}
    return frozenset(called - known - _WORDS - set(_DEFINING.findall(code)))


def without_those_in(text: str, names: frozenset[str]) -> frozenset[str]:
    """Leave out the names that a text mentions."""
    return frozenset(name for name in names if not re.search(rf"(?<![\w$]){re.escape(name)}(?![\w$])", text))
