"""`midfill context FILE:LINE:COL`: which snippets of other files a completion would be given, why, and the prompt."""

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict

from lsp_server.completion.written import request_at
from lsp_server.inspector import prompt_text
from lsp_server.token_counter import token_counter
from lsp_server.verbs.complaints import BadInputError
from lsp_server.verbs.place import Place, read_place
from lsp_server.verbs.repository import opened
from repo_context.snippet import Cursor, Snippet

_SHOWN_LINES = 6
_NO_PROMPT = "\nthe model's tokenizer is not on this machine, so the prompt cannot be laid out here"


def run(arguments: argparse.Namespace) -> int:
    """Print the snippets, and the prompt where it is asked for; return the exit code."""
    place = read_place(arguments.place)
    if place.root is None:
        raise BadInputError(
            f"{place.file} lies in no repository (no .git above it), so there are no other files to use"
        )
    if arguments.budget < 0:
        raise BadInputError(f"--budget must not be negative, and it is {arguments.budget}")
    count_tokens = token_counter(arguments.model)
    cursor = place.snapshot()
    with opened(place.root) as repository:
        snippets = repository.snippets_for(
            Cursor(path=cursor.path, prefix=cursor.prefix, suffix=cursor.suffix),
            budget=arguments.budget,
            count_tokens=count_tokens,
        )
    tokens = [count_tokens(snippet.text) for snippet in snippets]
    prompt = prompt_text(request_at(cursor, snippets), arguments.model) if arguments.prompt or arguments.json else None
    if arguments.json:
        listed = [asdict(snippet) | {"tokens": count} for snippet, count in zip(snippets, tokens, strict=True)]
        result = {"file": cursor.path, "root": str(place.root), "budget": arguments.budget, "tokens": sum(tokens)}
        print(json.dumps(result | {"snippets": listed, "prompt": prompt}, indent=2))
        return 0
    print(_as_text(place, snippets, count_tokens, arguments.budget))
    if arguments.prompt:
        print(f"\nwhat the model is sent:\n{prompt}" if prompt is not None else _NO_PROMPT)
    return 0


def _as_text(place: Place, snippets: Sequence[Snippet], count_tokens: Callable[[str], int], budget: int) -> str:
    lines = []
    for rank, snippet in enumerate(snippets, start=1):
        lines.append(
            f"{rank}. {snippet.path}:{snippet.start_line + 1}-{snippet.end_line}   {snippet.reason}   "
            f"score {snippet.score:.2f}, {count_tokens(snippet.text)} tokens"
        )
        text = snippet.text.splitlines()
        lines += [f"     {line}" for line in text[:_SHOWN_LINES]]
        if len(text) > _SHOWN_LINES:
            lines.append(f"     … {len(text) - _SHOWN_LINES} more lines")
    used = sum(count_tokens(snippet.text) for snippet in snippets)
    lines.append(
        f"{len(snippets)} snippets, {used} of {budget} tokens, for {place.name}:{place.line}:{place.column}"
        if snippets
        else f"no other file of {place.root} says anything about {place.name}:{place.line}:{place.column}"
    )
    return "\n".join(lines)
