"""Explains one answer: what the model was sent and why, what it wrote, what was shown or hidden, and what it took."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from engine.api import CompletionRequest
from engine.errors import EngineError
from lsp_server.completion.answer import Answer
from lsp_server.completion.snapshot import Snapshot
from lsp_server.settings import Settings

_SHOWN_LINES: Final = 12
_UNBOUNDED: Final = 1 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspected:
    """An answer and what it was given to; kept for the latest request of each document."""

    snapshot: Snapshot
    answer: Answer
    ids: tuple[str, ...]
    line: int
    """0-based."""
    milliseconds: float


def explain(
    inspected: Inspected, request: CompletionRequest | None, settings: Settings, cache: Mapping[str, int]
) -> dict[str, Any]:
    """Return the result of `midfill/why`; docs/protocol.md says what is in it."""
    answer, snapshot = inspected.answer, inspected.snapshot
    facts = answer.facts
    hops = {**facts.timings, "total": inspected.milliseconds}
    result: dict[str, Any] = {
        "uri": snapshot.uri,
        "line": inspected.line + 1,
        "column": len(snapshot.line_before) + 1,
        "trigger": snapshot.trigger.value,
        "shown": bool(answer.ranked),
        "reason": _reason(answer),
        "suggestions": [
            {"id": item, "text": one.suggestion.text, "confidence": _rounded(one.confidence)}
            for item, one in zip(inspected.ids, answer.ranked, strict=True)
        ],
        "hidden": [
            {"text": one.text, "reason": one.reason, "confidence": _rounded(one.confidence)} for one in answer.hidden
        ],
        "confidenceNeeded": _rounded(answer.needed),
        "assertiveness": settings.assertiveness.value,
        "length": answer.length.value if answer.length is not None else None,
        "source": answer.source.value,
        "snippets": [_snippet(snippet) for snippet in facts.snippets],
        "snippetsUsed": facts.snippets_used,
        "promptTokens": facts.prompt_tokens,
        "newTokens": facts.new_tokens,
        "prompt": prompt_text(request, settings.engine_url or settings.model) if request is not None else None,
        "milliseconds": {hop: round(value, 2) for hop, value in hops.items()},
        "cache": dict(cache),
    }
    return result | {"text": _as_markdown(result)}


def prompt_text(request: CompletionRequest, model: str) -> str | None:
    """Lay the prompt out again as the engine did; None where its tokenizer is not at hand."""
    # Loaded when somebody asks: a tokenizer takes a tenth of a second, and most sessions never ask.
    from engine.model_names import resolve
    from engine.model_registry import find_model
    from engine.prompt import PromptParts, build, read_settings
    from engine.tokenizer import Tokenizer

    try:
        folder = resolve(find_model(model).source)
        tokenizer = Tokenizer.load(folder)
        prompt_settings = read_settings(folder, tokenizer, context_length=_UNBOUNDED)
        parts = PromptParts(
            path=request.path,
            comment=request.comment,
            prefix=request.prefix,
            suffix=request.suffix,
            snippets=request.snippets,
        )
        budget = max(prompt_settings.context_length - request.max_tokens, 1)
        return tokenizer.decode(build(parts, prompt_settings, tokenizer, budget=budget).ids)
    except EngineError:
        return None


def _reason(answer: Answer) -> str:
    if answer.ranked:
        where = {"engine": "the engine wrote it", "cache": "it was written before", "in flight": "it was being written"}
        return where.get(answer.source.value, answer.reason)
    return answer.reason


def _snippet(snippet: Any) -> dict[str, Any]:
    return {
        "path": snippet.path,
        "startLine": getattr(snippet, "start_line", 0) + 1,
        "endLine": getattr(snippet, "end_line", 0),
        "reason": getattr(snippet, "reason", ""),
        "score": _rounded(getattr(snippet, "score", None)),
        "text": snippet.text,
    }


def _as_markdown(result: Mapping[str, Any]) -> str:
    shown = result["suggestions"]
    lines = [
        "# Why this suggestion" if shown else "# Why no suggestion",
        "",
        f"Line {result['line']}, column {result['column']}: {result['reason']}.",
        "",
    ]
    for one in shown:
        lines += _text_block(f"Shown{_sure(one['confidence'])}", one["text"])
    for one in filter(lambda hidden: hidden["text"].strip(), result["hidden"]):
        lines += _text_block(f"Hidden, because: {one['reason']}{_sure(one['confidence'])}", one["text"])
    if result["confidenceNeeded"]:
        needed, mode = result["confidenceNeeded"], result["assertiveness"]
        lines += [f"A suggestion must be {100 * needed:.0f} % sure to be shown (`assertiveness`: {mode}).", ""]
    lines += ["## What it took", ""]
    lines += [f"- {hop}: {value:.1f} ms" for hop, value in result["milliseconds"].items()]
    lines += [
        f"- {result['promptTokens']} tokens read, {result['newTokens']} written",
        "- cache: {entries} texts, {hits} hits, {misses} misses".format(**result["cache"]),
        "",
        f"## Other files ({result['snippetsUsed']} of {len(result['snippets'])} snippets went into the prompt)",
        "",
    ]
    for snippet in result["snippets"]:
        title = f"{snippet['path']}:{snippet['startLine']}-{snippet['endLine']} ({snippet['reason']})"
        lines += _text_block(title, snippet["text"])
    if result["prompt"] is not None:
        lines += ["## What the model was sent", "", "````", result["prompt"], "````", ""]
    return "\n".join(lines)


def _text_block(title: str, text: str) -> list[str]:
    lines = text.splitlines()
    more = [f"… {len(lines) - _SHOWN_LINES} more lines"] if len(lines) > _SHOWN_LINES else []
    return [f"{title}:", "", "````", *lines[:_SHOWN_LINES], *more, "````", ""]


def _sure(confidence: float | None) -> str:
    return "" if confidence is None else f" ({100 * confidence:.0f} % sure)"


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
