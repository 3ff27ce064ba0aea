"""Drops files that do not parse, or that nobody could read (DeepSeek-Coder, section 2.4).

The paper names a compiler, a quality model and heuristics, and publishes no thresholds. Here: tree-sitter's error
nodes for every language it parses, Python's own compiler for Python, and rules that each name what they measure.
A quality model is a hook: any function from a document to a number.
"""

import importlib
import re
import warnings
from collections.abc import Callable
from functools import cache

from tree_sitter import Node, Parser

from repo_context.errors import GrammarMissingError
from repo_context.languages import Grammar, language_named, load_grammar
from train.data.document import SourceDocument
from train.data.filter_rules import Rule
from train.errors import CorpusError

STEP = "screen quality"

LARGEST_ERROR_SHARE = 0.02
"""Of a file's bytes, inside error nodes. Not zero: macros and newer syntax than the grammar's are no errors."""
LONGEST_FUNCTION = 500
"""Lines of one function: more is generated, or as little modular as no one should learn."""
LARGEST_NUMBER_SHARE = 0.6
"""Of a file's words: more is a table of data."""
LARGEST_REPEATED_SHARE = 0.7
"""Of a file's lines that say anything: more is boilerplate."""
SHORTEST_MEAN_NAME = 1.8
"""Characters of the distinct names in a file of at least `FEWEST_NAMES`: less is obfuscated."""
FEWEST_NAMES = 40
_LINES_TO_JUDGE = 30


def syntax_errors(document: SourceDocument) -> str | None:
    """Drop files of whose source more than 2 % lies in tree-sitter's error nodes; unparsed languages pass."""
    grammar = language_named(document.language).grammar
    # Python's own compiler knows better than the grammar (see `compiles`).
    if grammar is None or document.language == "python":
        return None
    encoded = document.text.encode("utf-8", "surrogatepass")
    try:
        root = _parser(grammar).parse(encoded).root_node
    except (GrammarMissingError, ValueError):
        return None
    if root.has_error and error_bytes(root) > LARGEST_ERROR_SHARE * len(encoded):
        return "more than 2 % of the source does not parse"
    return None


def compiles(document: SourceDocument) -> str | None:
    """Drop Python that the running interpreter's compiler refuses."""
    if document.language != "python":
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(document.text, document.path, "exec", dont_inherit=True, optimize=0)
    except (SyntaxError, ValueError):
        return "Python that does not compile"
    except (RecursionError, MemoryError):  # the compiler's own limits, met by tables of data nested hundreds deep
        return "Python too deeply nested to compile"
    return None


def long_functions(document: SourceDocument) -> str | None:
    """Drop files with a Python function of more than 500 lines, told by indentation alone."""
    if document.language != "python" or document.text.count("\n") <= LONGEST_FUNCTION:
        return None
    lines = document.text.split("\n")
    starts: list[tuple[int, int]] = []  # (line, indentation) of functions still open
    for number, line in enumerate([*lines, "end"]):
        code = line.lstrip()
        if not code or code[0] in "#)]}":
            continue
        indentation = len(line) - len(code)
        while starts and indentation <= starts[-1][1]:
            start, _ = starts.pop()
            if number - start > LONGEST_FUNCTION:
                return "a function of more than 500 lines"
        if code.startswith(("def ", "async def ")):
            starts.append((number, indentation))
    return None


_WORD = re.compile(r"[A-Za-z0-9_]+")
_NUMBER = re.compile(r"(?:0[xX][0-9a-fA-F]+|[0-9][0-9a-fA-F]*)[uUlLfF]*")


def tables_of_numbers(document: SourceDocument) -> str | None:
    """Drop files more than 60 % of whose words are numbers."""
    words = _WORD.findall(document.text)
    numbers = sum(1 for word in words if word[0].isdigit() and _NUMBER.fullmatch(word))
    return "mostly numbers" if numbers > LARGEST_NUMBER_SHARE * len(words) else None


def repeated_lines(document: SourceDocument) -> str | None:
    """Drop files more than 70 % of whose lines with a letter in them are copies of another line."""
    lines = [line for line in map(str.strip, document.text.split("\n")) if len(line) > 3]
    if len(lines) < _LINES_TO_JUDGE:
        return None
    return "mostly repeated lines" if len(set(lines)) < (1 - LARGEST_REPEATED_SHARE) * len(lines) else None


def obfuscated_names(document: SourceDocument) -> str | None:
    """Drop files whose names are shorter than 1.8 characters on average: minified or obfuscated code."""
    names = {word for word in _WORD.findall(document.text) if not word[0].isdigit()}
    if len(names) < FEWEST_NAMES:
        return None
    return "names too short to read" if sum(map(len, names)) < SHORTEST_MEAN_NAME * len(names) else None


RULES: tuple[Rule, ...] = (
    syntax_errors,
    compiles,
    long_functions,
    tables_of_numbers,
    repeated_lines,
    obfuscated_names,
)


def quality_rule(hook: str, least: float) -> Rule:
    """Return the rule that drops what a quality model scores below `least`.

    `hook` is `module:function`; the function takes a `SourceDocument` and returns a number.

    Raises:
        CorpusError: there is no such function.
    """
    score = _function(hook)

    def quality_model(document: SourceDocument) -> str | None:
        return "below the quality model's threshold" if score(document) < least else None

    return quality_model


def error_bytes(root: Node) -> int:
    """Count the bytes inside error nodes; a token that the parser had to invent counts as one."""
    total, stack = 0, [root]
    while stack:
        node = stack.pop()
        if node.is_error:
            total += node.end_byte - node.start_byte
        elif node.is_missing:
            total += 1
        elif node.has_error:
            stack.extend(node.children)
    return total


def _function(hook: str) -> Callable[[SourceDocument], float]:
    module, _, name = hook.partition(":")
    try:
        function: Callable[[SourceDocument], float] = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise CorpusError(f"there is no quality function {hook!r} ({error}); give module:function") from error
    return function


@cache
def _parser(grammar: Grammar) -> Parser:
    return Parser(load_grammar(grammar))
