"""Draws instructions from source: a documented Python function's docstring asks for the function."""

import ast
from collections.abc import Iterable, Iterator

from train.data.conversations import Conversation, Turn
from train.data.document import SourceDocument

_LONGEST = 2000
"""Characters of a function that is asked for; longer ones say little about their docstring."""
_SHORTEST_REQUEST = 20
"""Characters; a docstring shorter than this asks for nothing in particular."""


def draw_conversations(documents: Iterable[SourceDocument]) -> Iterator[Conversation]:
    """Yield one conversation for each documented top-level function, in the documents' order.

    The answer is the function without its docstring, in a code block. Files that do not parse give none.
    """
    for document in documents:
        if document.language != "python":
            continue
        try:
            tree = ast.parse(document.text)
        except (SyntaxError, ValueError, RecursionError):
            continue
        for node in tree.body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                conversation = _conversation(node)
                if conversation is not None:
                    yield conversation


def _conversation(node: ast.FunctionDef | ast.AsyncFunctionDef) -> Conversation | None:
    request = (ast.get_docstring(node) or "").partition("\n\n")[0].strip()
    if len(request) < _SHORTEST_REQUEST or len(node.body) < 2:
        return None
    node.body = node.body[1:]
    code = ast.unparse(node)
    if len(code) > _LONGEST:
        return None
    instruction = f"Write a Python function `{node.name}({ast.unparse(node.args)})`. {request}"
    return Conversation(turns=(Turn(instruction=instruction, output=f"```python\n{code}\n```"),))
