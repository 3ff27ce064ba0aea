"""What a server's refusals and broken connections mean, in one line that says what to do (no torch)."""

from collections.abc import Mapping
from typing import Any, Final

import httpx2 as httpx

from engine.errors import EngineError, EngineUnavailableError

_LONGEST_QUOTE: Final = 200
_WINDOW: Final = 24
"""Characters of the prompt that an error message must not repeat: it may be logged, and the prompt is source text."""


def refusal(
    status: int, said: Mapping[str, Any], *, where: str, sent: Mapping[str, Any], key: str | None
) -> EngineError:
    """Return the error for a status code and the JSON object that came with it."""
    reason = _reason(said, sent, key)
    if status in (401, 403):
        what = "refuses the key" if key else "asks for a key"
        return EngineUnavailableError(
            f"{where} {what} ({status}); put the right one in MIDFILL_API_KEY, or in the keyring under 'midfill'"
        )
    if status == 404:
        return EngineError(
            f"{where} knows no such model or path (404{reason}); does the address end in /v1, and is the model right?"
        )
    if status == 429:
        return EngineUnavailableError(f"{where} was asked too often (429{reason}); it is left alone for a while")
    if status >= 500:
        return EngineUnavailableError(f"{where} failed ({status}{reason}); its own log says more")
    return EngineError(f"{where} refuses the request ({status}{reason})")


def broken_connection(error: httpx.HTTPError, host: str, read_seconds: float) -> EngineError:
    """Return the error for a connection that could not be made or broke."""
    if isinstance(error, httpx.ConnectTimeout | httpx.ConnectError):
        return EngineUnavailableError(f"cannot reach {host} ({_cause(error)}); is the server running?")
    if isinstance(error, httpx.TimeoutException):
        return EngineUnavailableError(f"{host} sent nothing for {read_seconds:g} s; it may be loading its model")
    return EngineUnavailableError(f"{host} broke off in mid-answer ({_cause(error)}); the next request tries again")


def _reason(said: Mapping[str, Any], sent: Mapping[str, Any], key: str | None) -> str:
    """Return what a server says about its refusal, unless it repeats the prompt."""
    error = said.get("error", said.get("message", said.get("detail")))
    text = error.get("message") if isinstance(error, dict) else error
    if not isinstance(text, str) or not text.strip():
        return ""
    text = " ".join(text.split())[:_LONGEST_QUOTE]
    if key:
        text = text.replace(key, "…")
    spelled = " ".join(f"{sent.get('prompt', '')} {sent.get('suffix', '')} {sent.get('messages', '')}".split())
    quotes = any(text[start : start + _WINDOW] in spelled for start in range(max(1, len(text) - _WINDOW)))
    return "" if quotes and len(text) >= _WINDOW else f": {text}"


def _cause(error: httpx.HTTPError) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__
