"""Finds the names that Python and Java files use without a look at their syntax trees, which takes many times longer.

What is called, what stands behind a dot, annotations, bases and types are known by their neighbours once comments and
strings are out of the way. `name_lexer.h` does the same in C++; this is what it is compared with, and what runs where
there is no compiler. Of the names that a query finds in the tree more than 99 in 100 are found, and hardly any others.
"""

import re
from collections.abc import Callable

MAX_NESTED = 8
"""F-strings inside f-strings; what lies deeper is taken for text."""

_THREE_DOUBLE = rb"""\"\"\"[^"\\]*(?:(?:\\.|"(?!""))[^"\\]*)*(?:\"\"\"|\\?\Z)"""
_THREE_SINGLE = _THREE_DOUBLE.replace(b'\\"', b"'").replace(b'"', b"'")
_DOUBLE = rb'"[^"\\\n]*(?:\\.[^"\\\n]*)*(?:"|\\\Z)?'
_SINGLE = _DOUBLE.replace(b'"', b"'")
_NUMBER = rb"(?P<number>\.?[0-9](?:[eE][+-]|[A-Za-z0-9_.])*)"
_PYTHON = re.compile(
    rb"""(?P<blank>[ \t\r\f]+|\#[^\n]*|\\\n)|(?P<end>\n)|(?P<formatted>(?:[fF][rR]?|[rR][fF])(?:\"\"\"|'''|"|'))|"""
    + rb"(?P<string>[rRbBuU]{0,2}(?:"
    + b"|".join([_THREE_DOUBLE, _THREE_SINGLE, _DOUBLE, _SINGLE])
    + rb"))"
    + rb"|(?P<word>[A-Za-z_\x80-\xff][A-Za-z0-9_\x80-\xff]*)|"
    + _NUMBER
    + rb"|(?P<mark>->|:=|\.\.\.|.)",
    re.DOTALL | re.VERBOSE,
)
_JAVA = re.compile(
    rb"(?P<blank>[ \t\r\n\f]+|//[^\n]*|/\*.*?(?:\*/|\Z))|"
    + rb"(?P<string>"
    + b"|".join([_THREE_DOUBLE, _DOUBLE, _SINGLE])
    + rb")"
    + rb"|(?P<word>[A-Za-z_$\x80-\xff][A-Za-z0-9_$\x80-\xff]*)|"
    + _NUMBER
    + rb"|(?P<mark>::|->|\.\.\.|.)",
    re.DOTALL | re.VERBOSE,
)
_PYTHON_KEYWORDS = frozenset(
    b"""False None True and as assert async await break class continue def del elif else except finally for from global
    if import in is lambda nonlocal not or pass raise return try while with yield""".split()
)
_JAVA_KEYWORDS = frozenset(
    b"""abstract assert boolean break byte case catch char class const continue default do double else enum extends
    false final finally float for goto if implements import instanceof int interface long native new null package
    private protected public return short static strictfp super switch synchronized this throw throws transient true try
    void volatile while""".split()
)
_PRIMITIVE = frozenset(b"boolean byte char double float int long short void".split())


def python_names(source: bytes) -> set[bytes]:
    """Return the names that a Python file calls, takes as members, decorates with, inherits from or has as types."""
    tokens: list[bytes] = [b"\n"]
    _python_tokens(source, 0, len(source), tokens, 0)
    return _PythonNames([*tokens, b"\n", b"\n"]).found


def java_names(source: bytes) -> set[bytes]:
    """Return the names that a Java file calls, takes as members, annotates with or has as types."""
    matches = (match for match in _JAVA.finditer(source) if match.lastgroup != "blank")
    tokens = [_SHORT.get(match.lastgroup or "", match.group()) for match in matches]
    return _java_names([b";", *tokens, b";", b";", b";"])


LEXED: dict[str, Callable[[bytes], set[bytes]]] = {"python": python_names, "java": java_names}
"""Languages whose names are found here, in the order that the library numbers them in."""
_SHORT = {"string": b'"', "number": b"0"}
"""What stands for a token whose text does not matter."""


def _python_tokens(source: bytes, start: int, end: int, tokens: list[bytes], nested: int) -> None:
    """Append tokens; line ends count outside of brackets only, and not in what is nested in strings."""
    depth = 1 if nested else 0
    while start < end:
        match = _PYTHON.match(source, start, end)
        assert match is not None
        kind, token, start = match.lastgroup, match.group(), match.end()
        if kind == "formatted":
            start = _formatted(source, start, end, token.lstrip(b"fFrR"), tokens, nested)
        elif kind == "end":
            if not depth:
                tokens.append(token)
        elif kind != "blank":
            if token in (b"(", b"[", b"{"):
                depth += 1
            elif token in (b")", b"]", b"}"):
                depth = max(depth - 1, 0)
            tokens.append(_SHORT.get(kind or "", token))


def _formatted(source: bytes, start: int, end: int, quote: bytes, tokens: list[bytes], nested: int) -> int:
    """Append the tokens of what an f-string evaluates; returns where the string ends."""
    tokens.append(b'"')
    while start < end:
        character = source[start : start + 1]
        if character == b"\\":
            start += 2
        elif source.startswith(quote, start, end):
            return start + len(quote)
        elif character == b"\n" and len(quote) == 1:
            return start
        elif character == b"{" and source[start + 1 : min(start + 2, end)] == b"{":
            start += 2
        elif character == b"{" and nested < MAX_NESTED:
            last = _closing_brace(source, start, end, quote)
            tokens.append(b"{")
            _python_tokens(source, start + 1, last, tokens, nested + 1)
            tokens.append(b"}")
            start = last + 1 if last < end and source[last : last + 1] == b"}" else last
        else:
            start += 1
    return min(start, end)


def _closing_brace(source: bytes, start: int, end: int, quote: bytes) -> int:
    depth = 0
    for place in range(start, end):
        character = source[place]
        if character == ord("{"):
            depth += 1
        elif character == ord("}"):
            depth -= 1
            if not depth:
                return place
        elif character == ord("\n") and len(quote) == 1:
            return place
    return end


class _PythonNames:
    """Reads tokens one after another, and knows inside which brackets and in what part of a statement it is."""

    def __init__(self, tokens: list[bytes]) -> None:
        self.found: set[bytes] = set()
        self._tokens = tokens
        self._first = 0
        """Where the statement starts."""
        self._plain = False
        """Nothing but names and dots so far: what a colon follows is a variable with a type."""
        self._brackets: list[bytes] = []
        """What is open: brackets as they are, `d` for the parameters of a function, `c` for the bases of a class."""
        self._type_depth = -1
        """How many brackets are around the type that is read; -1 outside of types."""
        for place in range(1, len(tokens) - 2):
            self._read(place, tokens[place - 1], tokens[place])

    def _read(self, place: int, before: bytes, token: bytes) -> None:
        if token != b"\n" and self._starts_statement(before):
            self._first, self._type_depth = place, -1
            self._plain = _is_word(token) and token not in _PYTHON_KEYWORDS
        if _is_word(token):
            self._plain = self._plain and token not in _PYTHON_KEYWORDS and (place == self._first or before == b".")
            if token not in _PYTHON_KEYWORDS and self._is_used(place, before, self._tokens[place + 1]):
                self.found.add(token)
        else:
            self._read_mark(place, before, token)

    def _starts_statement(self, before: bytes) -> bool:
        if before == b"\n":
            return True
        if self._brackets:
            return False
        after_block = before == b":" and self._type_depth < 0 and self._tokens[self._first] in _PYTHON_KEYWORDS
        return before == b";" or after_block

    def _read_mark(self, place: int, before: bytes, token: bytes) -> None:
        depth = len(self._brackets)
        ends_type = depth <= self._type_depth
        if token in (b"(", b"[", b"{"):
            definer = self._tokens[place - 2] if token == b"(" and _is_word(before) else b""
            self._brackets.append({b"def": b"d", b"class": b"c"}.get(definer, token))
        elif token in (b")", b"]", b"}"):
            self._type_depth = -1 if ends_type else self._type_depth
            if self._brackets:
                self._brackets.pop()
        elif token == b"\n":
            self._type_depth = -1
            self._brackets.clear()
        elif token == b":" and ends_type:
            self._type_depth = -1
        elif token == b"->" or (token == b":" and self._types_variable()) or (token == b"=" and self._names_type()):
            self._type_depth = depth
        elif (token == b"=" and ends_type) or (token == b"," and ends_type and depth):
            self._type_depth = -1
        self._plain = self._plain and token == b"."

    def _types_variable(self) -> bool:
        return self._brackets[-1] == b"d" if self._brackets else self._plain

    def _names_type(self) -> bool:
        """Say whether the statement is `type A = B`."""
        return self._tokens[self._first] == b"type" and self._is_name(self._first + 1) and not self._brackets

    def _is_name(self, place: int) -> bool:
        return _is_word(self._tokens[place]) and self._tokens[place] not in _PYTHON_KEYWORDS

    def _is_used(self, place: int, before: bytes, after: bytes) -> bool:
        if before == b".":
            return self._tokens[self._first] not in (b"import", b"from")
        if after == b"(":
            return before not in (b"def", b"class")
        if place == self._first + 1 and (before == b"type" or (before == b"@" and after == b"\n")):
            return True
        if self._brackets and self._brackets[-1] == b"c" and before in (b"(", b",") and after in (b",", b")"):
            return True
        return self._type_depth >= 0 and before in _BEFORE_TYPE and after in _AFTER_TYPE


_BEFORE_TYPE = frozenset([b":", b"->", b"[", b",", b"="])
_AFTER_TYPE = frozenset([b"=", b"\n", b",", b")", b"]", b"[", b":"])


def _java_names(tokens: list[bytes]) -> set[bytes]:
    found: set[bytes] = set()
    in_clause = in_annotation = False
    for place in range(1, len(tokens) - 3):
        token = tokens[place]
        if in_clause:
            in_clause = token != b";"
        elif not _is_word(token) or token in _JAVA_KEYWORDS:
            in_clause = token in (b"import", b"package")
        elif in_annotation or tokens[place - 1] == b"@":
            # Only a name without a package is one in the tree too.
            if not in_annotation and tokens[place + 1] != b".":
                found.add(token)
            in_annotation = tokens[place + 1] == b"."
        elif _is_used_in_java(tokens, place):
            found.add(token)
    return found


def _is_used_in_java(tokens: list[bytes], place: int) -> bool:
    before, token, after = tokens[place - 1 : place + 2]
    if before in (b".", b"::"):
        return before == b"."
    is_type = b"A" <= token[:1] <= b"Z"
    if after == b"(":
        # A method that is defined stands behind its type; what is capitalised is a constructor or a constant.
        defines = _is_plain(before) or before in _PRIMITIVE or before in (b"]", b">")
        return before == b"new" if is_type or before == b"new" else not defines
    if not is_type:
        return token == b"var" and _is_word(after)
    if before in (b"class", b"interface", b"enum", b"record"):
        return False
    capitals = len(token) > 1 and token.isupper()
    as_value = capitals or after in _AFTER_VALUE or (before == b"(" and after == b",")
    return not as_value or _stands_as_type(tokens, place)


def _stands_as_type(tokens: list[bytes], place: int) -> bool:
    """Say whether a name that may as well be a constant is a type."""
    before, _, after, second = tokens[place - 1 : place + 3]
    if before in _BEFORE_JAVA_TYPE or after in _AFTER_JAVA_TYPE or _is_plain(after):
        return True
    return before == b"(" and after == b")" and (_is_word(second) or second in (b"(", b'"'))


_BEFORE_JAVA_TYPE = frozenset([b"new", b"<", b"extends", b"implements", b"throws", b"instanceof"])
_AFTER_VALUE = frozenset([b")", b";", b"=", b"?", b":", b"+", b"-", b"*", b"/", b"%"])
_AFTER_JAVA_TYPE = frozenset([b"<", b".", b"::", b"...", b">"])


def _is_word(token: bytes) -> bool:
    return token[:1].isalpha() or token[:1] in (b"_", b"$") or token > b"\x7f"


def _is_plain(token: bytes) -> bool:
    """Say whether a token of Java is a name."""
    return _is_word(token) and token not in _JAVA_KEYWORDS
