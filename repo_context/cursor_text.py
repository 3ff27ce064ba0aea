"""Reads the text around a cursor by regular expressions: names, receivers, variables' types, calls, bases.

The edited line rarely parses, so nothing here needs a syntax tree; each rule reads what is written in any of the
languages, and the caller looks the names up.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from repo_context.languages import family_of
from repo_context.snippet import Cursor

LINES_BEFORE = 10
LINES_AFTER = 3
MAX_CHAIN = 4
"""Longest chain of members that is followed from type to type."""
MAX_TEXT = 60_000
"""Characters on each side of the cursor that are read for types and counts."""
MAX_NEAR_TEXT = 6_000
"""Characters before the cursor that are read for assignments, loops and open brackets."""
MAX_NAME = 200
"""Characters before a colon in which the name that it annotates is looked for."""
MAX_ROWS = 200
"""How far from the cursor, in lines, uses of a class's members still speak for it."""
MAX_ENCLOSING = 3
"""How many open calls around the cursor are looked at."""
OWN = frozenset({"self", "this", "cls", "super", "base"})
"""Names by which an object calls itself or its bases."""

NAME = re.compile(r"[^\W\d]\w*")
_WORD_OR_LINE = re.compile(r"\n|[^\W\d]\w*")
_SPACED = {code: " " for code in range(128) if not (chr(code).isalnum() or chr(code) == "_")}
"""Makes `str.split` find the names of an ASCII text, four times as fast as a regular expression does."""
_MEMBER = re.compile(r"(?:(?<![^\W\d])([^\W\d]\w*+)\s*+)?(?:\.|->|::)\s*([^\W\d]\w*)?")
_CHAIN = re.compile(r"((?:[^\W\d]\w*\s*(?:\?\.|!?\.|->|::)\s*)+)\w*$")
_ARGUMENTS = re.compile(r"\([^()]*\)|\[[^\[\]]*\]|<(?<=\w<)[\w, <>]*>")
_STRING = re.compile(r"\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'")

# A name is never tried again in part (`*+`), and a pattern starts with what is rarest in it where that can be told, a
# letter or a mark: most of what follows would else be tried at every word of a text.
_PATH = r"(?:[^\W\d]\w*+(?:\?\.|!?\.|->|::))*[^\W\d]\w*+"
_INSIDE = r"[^<>\[\](){}\n]"
_TYPE = rf"(?:[^\W\d]\w*(?:\.|::))*[^\W\d]\w*(?:[<\[](?:{_INSIDE}|[<\[]{_INSIDE}*[>\]])*[>\]])?(?:[ ]\|[ ][\w.]+)*"
_ANNOTATION = re.compile(rf":[ \t]*[&*]*(?:'\w+[ ])?(?:mut[ ]|dyn[ ])?[\"']?({_TYPE})")
_ANNOTATED_NAME = re.compile(r"\b([^\W\d]\w*)\??[ \t]*\Z")
_CONSTRUCTED = re.compile(
    r"\b([^\W\d]\w*+)\s*+(?::\s*[\w.\[\]| ]++)?:?=\s*(?:await\s+)?(?:new\s+|&)?((?:\w++(?:\.|::))*[A-Z]\w*)\s*[({<]"
)
_ENTERED = re.compile(r"with(?<!\wwith)\s+((?:\w+\.)*[A-Z]\w*)\([^\n]*\)\s+as\s+(\w+)")
_DECLARED = re.compile(
    r"([A-Z](?<!\w[A-Z])\w*+(?:\.[A-Z]\w*+)*(?:<[^=;(){}\n]*>)?)(?:\[\])?[ \t*&]+([a-z_]\w*+)\s*+[=;,):]"
)
_GO_DECLARED = re.compile(r"(?:\b|[(,]\s*)([a-z]\w*)\s+\*?(?:\[\])?\*?((?:\w+\.)?[A-Z]\w*|[a-z]\w*[A-Z]\w*)\b")
_ASSIGNED = re.compile(
    rf"\b([^\W\d]\w*+)(?:\s*,\s*\w++)?\s*+:?=[ \t]*(?:await\s+|yield\s+)?[&*]*({_PATH})[ \t]*[?!]?(?=[;,)\n]|$)"
)
_LOOPED = re.compile(
    rf"for(?<!\wfor)(?:each)??\s*\(?\s*(?:(?:const|let|var|val|auto|[A-Z][\w.<>\[\]]*)\s+)?[&*(]*(?:\w+\s*,\s*)?([^\W\d]\w*)\)?"
    rf"\s*(?:\bof\b|\bin\b|:=\s*range\b|:)\s*[&*]*({_PATH})"
)
_CALLBACK = re.compile(
    # Not from the middle of a name, where nothing is found that is not found from its start.
    rf"(?<![^\W\d])({_PATH})(?:\([^()]*\))?(?:\?\.|!?\.)\w+\(\s*(?:\(?\s*([^\W\d]\w*)\b[^()=\n]*\)?\s*(?:=>|->)|\|\s*&?(\w+)\s*\|)"
)
_CALLBACK_START = re.compile(r"\(\s*(?:\(?\s*[^\W\d]\w*\b[^()=\n]*\)?\s*(?:=>|->)|\|\s*&?\w+\s*\|)")
"""What every callback has: where there is none, the text is not looked through for what it is called on."""
_UNPACKED = re.compile(rf"\{{([^{{}}]*)\}}\s*=\s*(?:await\s+)?({_PATH})")
_UNPACKED_PARAMETER = re.compile(r"\{([^{}]*)\}\s*:\s*([A-Z][\w.]*)")
_UNPACKED_NAME = re.compile(r"([^\W\d]\w*)(?:\s*:\s*([^\W\d]\w*))?\s*(?:=[^,]*)?(?:,|$)")

_CALLEE = re.compile(rf"({_PATH})\s*(?:::)?(?:<[^<>()]*>)?\s*$")
_LITERAL = re.compile(r"(?:[=(,&:\[{]|\breturn)\s*&?((?:\w+(?:\.|::))*[A-Z]\w*)(?:<[^<>]*>)?\s*$")
_TYPED_LITERAL = re.compile(rf"[\w)?]\s*:\s*({_TYPE})\s*=\s*$")
_TAG = re.compile(r"<([A-Z]\w*(?:\.\w+)*)(?:\s(?:[^<>]|=>)*)?$")
_BASES = re.compile(
    r"^\s*(?:(?:export|default|abstract|public|private|internal|final|static|sealed|partial|open|data)\s+)*"
    r"(?:class|struct|interface|record|object)\s+\w+(?:<[^>]*>)?\s*"
    r"((?:\([^)]*\)\s*)?(?:(?:extends|implements|<|:(?![ \t]*(?:#.*)?$))\s*[^{;]*)?)",
    re.MULTILINE,
)
_NO_BASE = frozenset({"extends", "implements", "with", "public", "protected", "private", "virtual", "metaclass"})

_DECLARING = frozenset({"jvm", "csharp", "c", "php"})
"""Families that write a variable's type before its name."""
_NO_VARIABLE = frozenset({"None", "True", "False", "case", "default", "else", "return", "try", "finally", "lambda"})
"""Words before a colon that declare nothing."""

Chain = tuple[str, ...]
"""Names that dots join: ("order", "owner") at `order.owner.na`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Enclosing:
    """A call, tag or literal that is still open at the cursor."""

    chain: Chain
    """What is called, or the literal's type."""
    in_literal: bool
    """Whether the cursor is inside braces of it, where names of members are written."""


class CursorText:
    """What the text on both sides of a cursor says; each part is read when first asked for."""

    def __init__(self, cursor: Cursor) -> None:
        self._cursor = cursor
        self._before = cursor.prefix.rsplit("\n", LINES_BEFORE)[-LINES_BEFORE:]
        self._after = cursor.suffix.split("\n", LINES_AFTER)[:LINES_AFTER]

    @cached_property
    def near_names(self) -> list[str]:
        """Return the names near the cursor, the nearest first, those before it first of all."""
        before = [name for line in reversed(self._before) for name in reversed(NAME.findall(line))]
        return list(dict.fromkeys([*before, *NAME.findall("\n".join(self._after))]))

    @cached_property
    def near_members(self) -> dict[str, list[str]]:
        """Return name → members that are taken from it near the cursor, the nearest first."""
        members: dict[str, list[str]] = {}
        near = "\n".join([*reversed(self._after), *self._before])
        for match in reversed(list(_MEMBER.finditer(near))):
            owner = members.setdefault(match.group(1) or "", [])
            if match.group(2):
                owner.append(match.group(2))
        return members

    @cached_property
    def receiver(self) -> Chain:
        """Return the names that dots join before the cursor, empty where none do."""
        match = _CHAIN.search(_without_arguments(self._cursor.prefix[-400:].rpartition("\n")[2]))
        return tuple(NAME.findall(match.group(1)))[-MAX_CHAIN:] if match else ()

    @cached_property
    def counts(self) -> Counter[str]:
        """How often each name occurs around the cursor."""
        words = Counter(_words(self._cursor.prefix[-MAX_TEXT:]))
        words.update(_words(self._cursor.suffix[:MAX_TEXT]))
        for word in [word for word in words if word[0] <= "9"]:
            times = words.pop(word)
            words.update(dict.fromkeys(NAME.findall(word), times))
        return words

    @cached_property
    def bases(self) -> list[str]:
        """The bases of the class around the cursor."""
        return _bases_around(self._cursor.prefix)

    @cached_property
    def types(self) -> dict[str, str]:
        """Variable → type as it is written, where the file shows one; what is nearest above the cursor wins."""
        return _local_types(self._cursor)

    @cached_property
    def values(self) -> dict[str, Chain]:
        """Variable → the chain of names that it was set to, is an element of, or was unpacked from; the nearest wins.

        Calls are left out of a chain: `a.b(x).c` is ("a", "b", "c").
        """
        return _local_values(self._cursor.prefix[-MAX_NEAR_TEXT:])

    @cached_property
    def enclosing(self) -> list[Enclosing]:
        """The calls, JSX tags and literals that are open at the cursor, innermost first."""
        return list(_open_around(self._cursor.prefix[-MAX_NEAR_TEXT // 2 :]))

    @cached_property
    def distances(self) -> dict[str, int]:
        """Return word → how many lines it is from the cursor, for words within `MAX_ROWS` of it."""
        before = "\n".join(self._cursor.prefix.rsplit("\n", MAX_ROWS + 1)[-MAX_ROWS - 1 :])
        after = "\n".join(self._cursor.suffix.split("\n", MAX_ROWS + 1)[: MAX_ROWS + 1])
        distances = _first_rows(reversed(_WORD_OR_LINE.findall(before)))
        for name, row in _first_rows(_WORD_OR_LINE.findall(after)).items():
            if row < distances.get(name, MAX_ROWS + 1):
                distances[name] = row
        return distances


def _words(text: str) -> list[str]:
    """Return the names in a text, and numbers too: what starts with a digit is for the caller to take apart."""
    return text.translate(_SPACED).split() if text.isascii() else NAME.findall(text)


def _first_rows(names_and_lines: Iterable[str]) -> dict[str, int]:
    """Return name → in which row it comes first."""
    rows: dict[str, int] = {}
    row = 0
    for name in names_and_lines:
        if name == "\n":
            row += 1
        elif name not in rows:
            rows[name] = row
    return rows


def _without_arguments(text: str) -> str:
    for _ in range(3):
        text = _ARGUMENTS.sub("", text)
    return text


def _chain_of(text: str) -> Chain:
    return tuple(NAME.findall(text))[-MAX_CHAIN:]


def _local_types(cursor: Cursor) -> dict[str, str]:
    above = cursor.prefix[-MAX_TEXT:]
    near = above[-MAX_NEAR_TEXT:]
    types: dict[str, str] = {}
    family = family_of(cursor.path)
    if family in _DECLARING:
        # Fields stand far from the methods that use them, above or below.
        for text in (cursor.suffix[:MAX_TEXT], above):
            types.update((match.group(2), match.group(1)) for match in _DECLARED.finditer(text))
    if family == "go":
        types.update((match.group(1), match.group(2)) for match in _GO_DECLARED.finditer(near))
    if family not in _DECLARING or cursor.path.endswith((".kt", ".kts", ".scala", ".sc")):
        types.update(_annotated(above))
    types.update((match.group(2), match.group(1)) for match in _ENTERED.finditer(near))
    types.update((match.group(1), match.group(2)) for match in _CONSTRUCTED.finditer(near))
    for name in _NO_VARIABLE:
        types.pop(name, None)
    return types


def _annotated(text: str) -> Iterator[tuple[str, str]]:
    """Yield (name, type) of `name: Type`, in order, found from their colons: names are many times as frequent."""
    end = 0
    annotation = _ANNOTATION.search(text)
    while annotation is not None:
        colon = annotation.start()
        named = _ANNOTATED_NAME.search(text, max(end, colon - MAX_NAME), colon)
        if named is not None:
            yield named.group(1), annotation.group(1)
        end = annotation.end() if named is not None else end
        annotation = _ANNOTATION.search(text, end if named is not None else colon + 1)


def _local_values(near: str) -> dict[str, Chain]:
    bare = _without_arguments(near)
    values: dict[str, Chain] = {}
    for match in _CALLBACK.finditer(near) if _CALLBACK_START.search(near) else ():
        values[match.group(2) or match.group(3)] = _chain_of(match.group(1))
    for pattern, text in ((_LOOPED, near), (_ASSIGNED, bare)):
        values.update((match.group(1), _chain_of(match.group(2))) for match in pattern.finditer(text))
    for pattern in (_UNPACKED, _UNPACKED_PARAMETER):
        for match in pattern.finditer(near):
            source = _chain_of(match.group(2))
            for item in _UNPACKED_NAME.finditer(match.group(1)):
                values[item.group(2) or item.group(1)] = (*source, item.group(1))
    return values


def _open_around(text: str) -> Iterator[Enclosing]:
    tag = _TAG.search(text[-1000:])
    if tag is not None:
        yield Enclosing(chain=_chain_of(tag.group(1)), in_literal=True)
    text = _STRING.sub(lambda match: "_" * len(match.group()), text)
    found = 0
    in_literal = False
    for place in _open_brackets(text):
        before = text[:place]
        if text[place] == "(":
            callee = _CALLEE.search(before[-200:])
            if callee is not None:
                yield Enclosing(chain=_chain_of(callee.group(1)), in_literal=in_literal)
                found += 1
            in_literal = False
        elif text[place] == "{":
            statement = before[-200:].rstrip().rpartition("\n")[2]
            if _HEADER.search(statement):
                return
            typed = _TYPED_LITERAL.search(before[-200:]) or _LITERAL.search(before[-200:])
            if typed is not None:
                yield Enclosing(chain=_chain_of(typed.group(1)), in_literal=True)
                return
            if not before.rstrip().endswith(("(", ",", ":", "[", "=")):
                return
            in_literal = True
        if found == MAX_ENCLOSING:
            return


def _open_brackets(text: str) -> Iterator[int]:
    """Yield the places of brackets that are still open at the end of a text, the last first."""
    closed = 0
    for match in reversed(list(_BRACKET.finditer(text))):
        if match.group() in ")]}":
            closed += 1
        elif closed:
            closed -= 1
        else:
            yield match.start()


_HEADER = re.compile(r"\b(?:class|interface|struct|enum|record|trait|impl|namespace|fn|func|fun|function)\s+\w")
"""A line whose braces hold a body."""
_BRACKET = re.compile(r"[()\[\]{}]")


def _bases_around(prefix: str) -> list[str]:
    """Return the bases of the last class that starts above the cursor and is not indented deeper than it."""
    line = prefix.rpartition("\n")[2]
    indent = len(line) - len(line.lstrip())
    for match in reversed(list(_BASES.finditer(prefix[-20_000:]))):
        header = match.group(0).lstrip("\n")
        if len(header) - len(header.lstrip()) < max(indent, 1):
            return bases_after(match.group(1))
    return []


def bases_after(text: str) -> list[str]:
    """Return the names of bases in what follows a class's name, without what stands between `<` and `>`.

    >>> bases_after("(Shape, metaclass=Meta):"), bases_after("(val size: Int) : Shape(size), Drawn")
    (['Shape'], ['Shape', 'Drawn'])
    >>> bases_after("extends Shape<Point> implements Drawn")
    ['Shape', 'Drawn']
    """
    text = text.strip()
    if text.startswith("("):
        inside, _, after = text[1:].partition(")")
        # Only Python's bases stand in brackets; elsewhere those are the constructor's parameters.
        is_python = after.strip() in ("", ":") and not _PARAMETER.search(inside)
        text = inside if is_python else after
    text = _CALL.sub("", text)
    for _ in range(3):
        text = _GENERIC.sub("", text)
    names = [match.group(1) for match in _BASE.finditer(text)]
    return [name for name in names if name not in _NO_BASE]


_PARAMETER = re.compile(r"\w\s*:|\w\s+\w")
_CALL = re.compile(r"\([^()]*\)")
_GENERIC = re.compile(r"<[^<>]*>|\[[^\[\]]*\]")
_BASE = re.compile(r"(?<![\w.=])(?<!=\s)((?:\w+(?:\.|::))*[^\W\d]\w*)\b(?!\s*=)")
