"""The import that an accepted suggestion needs: which names, and where the statement goes."""

import builtins
import keyword
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

_NAME: Final = re.compile(r"(?<![\w.$\"'])([A-Za-z_$][\w$]*)(?![\w$]|\s*[:=][^=]|\s*=>)")
_STRING: Final = re.compile(r"\"(?:\\.|[^\"\\])*\"?|'(?:\\.|[^'\\])*'?|`[^`]*`?")
_COMMENT: Final = re.compile(r"(?:#|//).*")
_PYTHON_IMPORT: Final = re.compile(r"(?:import|from)\s")
_PYTHON_FROM: Final = re.compile(r"from\s+(?P<module>\S+)\s+import\s+(?P<names>[\w, ]+)$")
_SCRIPT_IMPORT: Final = re.compile(r"import\b[^(]")
_SCRIPT_FROM: Final = re.compile(
    r"import\s+\{\s*(?P<names>[\w$, ]+?)\s*,?\s*\}\s+from\s+(?P<quote>[\"'])(?P<module>[^\"']+)(?P=quote)(?P<end>;?)$"
)
_LONGEST_LINE: Final = 100
_TOP_LINES: Final = 400
"""Lines in which the imports of a file are looked for."""
_MOST_NAMES: Final = 8
_NEVER: Final = frozenset(dir(builtins)) | frozenset(keyword.kwlist)
_PYTHON: Final = ("python", "jupyter")
_SCRIPT: Final = ("javascript", "typescript", "tsx")


@dataclass(frozen=True, slots=True, kw_only=True)
class Insertion:
    """A change at the top of a file: a line that is put in, or one that takes another's place."""

    line: int
    """0-based."""
    text: str
    """Without its line end."""
    replaces_line: bool


def names_to_import(accepted: str, others: str, language: str) -> list[str]:
    """Return the names in an accepted text that the rest of its file does not mention, in order.

    What the rest mentions is defined, imported or a parameter there, or would not have worked before either.

    >>> names_to_import("return Path(name)", "def f(name):\\n    ", "python")
    ['Path']
    """
    if language not in (*_PYTHON, *_SCRIPT):
        return []
    code = "\n".join(_COMMENT.sub("", line) for line in _STRING.sub('""', accepted).split("\n"))
    names = [name for name in dict.fromkeys(_NAME.findall(code)) if len(name) > 1 and name not in _NEVER]
    mentioned = set(re.findall(r"[A-Za-z_$][\w$]*", others))
    return [name for name in names if name not in mentioned][:_MOST_NAMES]


def plan_import(lines: Sequence[str], language: str, module: str, name: str, *, is_default: bool) -> Insertion:
    """Return the change that makes a file import a name.

    Args:
        lines: the file's lines, without their ends.
        language: `python`, `javascript`, `typescript` or `tsx`.
        module: as it is to be written.
        name: as it is to be used.
        is_default: whether it is an ECMAScript module's default export.
    """
    top = [line.rstrip("\r\n") for line in lines[:_TOP_LINES]]
    if language in _PYTHON:
        return _extended(top, _PYTHON_FROM, module, name, _python_line) or Insertion(
            line=_place_in_python(top), text=f"from {module} import {name}", replaces_line=False
        )
    if not is_default:
        extended = _extended(top, _SCRIPT_FROM, module, name, _script_line)
        if extended is not None:
            return extended
    quote, end = _script_style(top)
    what = name if is_default else f"{{ {name} }}"
    text = f"import {what} from {quote}{module}{quote}{end}"
    return Insertion(line=_place_in_script(top), text=text, replaces_line=False)


def _extended(
    top: Sequence[str],
    pattern: re.Pattern[str],
    module: str,
    name: str,
    written: Callable[[re.Match[str], Sequence[str]], str],
) -> Insertion | None:
    for number, line in enumerate(top):
        match = pattern.match(line)
        if match is None or match["module"] != module:
            continue
        names = [one.strip() for one in match["names"].split(",") if one.strip()]
        if any(" " in one for one in names):
            continue
        sorted_before = names == sorted(names, key=str.lower) or names == sorted(names)
        names = sorted([*names, name], key=str.lower) if sorted_before else [*names, name]
        text = written(match, names)
        if len(text) <= _LONGEST_LINE:
            return Insertion(line=number, text=text, replaces_line=True)
    return None


def _python_line(match: re.Match[str], names: Sequence[str]) -> str:
    return f"from {match['module']} import {', '.join(names)}"


def _script_line(match: re.Match[str], names: Sequence[str]) -> str:
    quote = match["quote"]
    return f"import {{ {', '.join(names)} }} from {quote}{match['module']}{quote}{match['end']}"


def _place_in_python(top: Sequence[str]) -> int:
    """Behind the last import at the top; in a file without any, behind its comments and docstring."""
    last, depth = -1, 0
    for number, line in enumerate(top):
        if depth or _PYTHON_IMPORT.match(line):
            depth += line.count("(") - line.count(")")
            last = number
        elif line[:1].isalpha() and last >= 0 and not line.startswith(("try:", "if ", "except", "else", "finally")):
            break
    if last >= 0:
        return last + 1
    return _behind_docstring(top)


def _behind_docstring(top: Sequence[str]) -> int:
    number = 0
    while number < len(top) and (not top[number].strip() or top[number].startswith("#")):
        number += 1
    opening = re.match(r"[rRuU]?(\"\"\"|''')", top[number]) if number < len(top) else None
    if opening is None:
        return number if number < len(top) else 0
    if top[number].count(opening[1]) > 1:
        return number + 1
    end = next((row for row in range(number + 1, len(top)) if opening[1] in top[row]), number)
    return end + 1


def _place_in_script(top: Sequence[str]) -> int:
    last, is_open = -1, False
    for number, line in enumerate(top):
        if is_open or _SCRIPT_IMPORT.match(line):
            is_open = "from" not in line and not re.search(r"[\"'];?\s*$", line)
            last = number
    if last >= 0:
        return last + 1
    number = 0
    while number < len(top) and top[number].startswith(("#!", "//", "/*", " *", "'use ", '"use ')):
        number += 1
    return number


def _script_style(top: Sequence[str]) -> tuple[str, str]:
    """Return the quote and the end of statement that a file uses."""
    imports = [line for line in top if line.startswith(("import", "}"))] or list(top)
    quote = "'" if sum(line.count("'") for line in imports) >= sum(line.count('"') for line in imports) else '"'
    ends = [line.rstrip() for line in top if line.rstrip().endswith(("'", '"', ")", ";"))]
    return quote, ";" if not ends or sum(line.endswith(";") for line in ends) * 2 >= len(ends) else ""
