"""The protocol between client and daemon: length-prefixed JSON objects over a local socket (no torch).

A frame is its length in bytes (4 bytes, big-endian) and that much UTF-8 JSON. After a `hello` from either side:

    client → daemon                                      daemon → client
    {"type": "complete", "id", "request": {...}}         {"type": "chunk", "id", "text"} ...,
                                                         {"type": "completion", "id", ...} ..., {"type": "end", "id"}
    {"type": "learn", "id", "collection", "files"}       {"type": "result", "id", "value": tokens}
    {"type": "forget", "id", "collection", "names"}      {"type": "result", "id", "value": null}
    {"type": "status", "id"}                             {"type": "result", "id", "value": {...}}
    {"type": "abort", "id"}                              (the completion ends as cancelled)

Any of them may be answered by {"type": "error", "id" or null, "kind": an error class's name, "message"}.
"""

import asyncio
import dataclasses
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from engine.api import (
    MAX_ALTERNATIVES,
    BlankLines,
    Chunk,
    Completion,
    CompletionRequest,
    EngineStatus,
    FinishReason,
    Length,
)
from engine.errors import EngineError, EngineUnavailableError, ModelFolderError, PromptError

PROTOCOL_VERSION: Final = 2
MAX_FRAME_BYTES: Final = 64 << 20

Message = dict[str, Any]
_T = TypeVar("_T")

_HEADER = struct.Struct(">I")
_ERRORS = {error.__name__: error for error in (EngineError, EngineUnavailableError, ModelFolderError, PromptError)}


class MalformedMessageError(EngineError):
    """A frame holds no valid message; the next one may."""


class LostFrameError(EngineError):
    """The stream is out of step: nothing that follows can be understood."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WireSnippet:
    """A snippet as it arrives; fits `engine.api.Snippet`."""

    path: str
    comment: str
    text: str


def frame(message: Mapping[str, Any]) -> bytes:
    """Return the bytes of one message.

    Raises:
        EngineError: it is longer than `MAX_FRAME_BYTES`.
    """
    payload = json.dumps(message, separators=(",", ":")).encode("ascii")
    if len(payload) > MAX_FRAME_BYTES:
        raise EngineError(f"the request is longer than {MAX_FRAME_BYTES >> 20} MiB; send less text")
    return _HEADER.pack(len(payload)) + payload


async def read_message(reader: asyncio.StreamReader) -> Message | None:
    """Read one message; None when the other side has gone.

    Raises:
        MalformedMessageError: the frame is no JSON object.
        LostFrameError: the frame is longer than `MAX_FRAME_BYTES`.
    """
    try:
        (length,) = _HEADER.unpack(await reader.readexactly(_HEADER.size))
        if length > MAX_FRAME_BYTES:
            raise LostFrameError(f"a frame of {length} bytes; at most {MAX_FRAME_BYTES} are allowed")
        payload = await reader.readexactly(length)
    except (asyncio.IncompleteReadError, OSError):
        return None
    try:
        message = json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise MalformedMessageError("a frame is not JSON") from error
    if not isinstance(message, dict):
        raise MalformedMessageError("a frame is not a JSON object")
    return message


def field(message: Mapping[str, Any], name: str, kind: type[_T]) -> _T:
    """Return a field of a message.

    Raises:
        MalformedMessageError: it is missing or of another type.
    """
    value = message.get(name)
    if kind is float and type(value) is int:
        value = float(value)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise MalformedMessageError(f"field {name!r} must be a {kind.__name__}")
    return value


def text_field(message: Mapping[str, Any], name: str) -> str:
    """Return a text field, with lone surrogates replaced: UTF-8 cannot spell them, and editors can send them."""
    return _spellable(field(message, name, str))


def request_to_json(request: CompletionRequest) -> Message:
    """Return a request as the object `request_from_json` reads."""
    return {
        "document": request.document,
        "path": request.path,
        "comment": request.comment,
        "prefix": request.prefix,
        "suffix": request.suffix,
        "snippets": [
            {"path": snippet.path, "comment": snippet.comment, "text": snippet.text} for snippet in request.snippets
        ],
        "collection": request.collection,
        "length": request.length.value,
        "max_tokens": request.max_tokens,
        "temperature": request.temperature,
        "seed": request.seed,
        "alternatives": request.alternatives,
        "blank_lines": request.blank_lines.value,
        "instruction": request.instruction,
    }


def request_from_json(raw: Message) -> CompletionRequest:
    """Read a request.

    Raises:
        MalformedMessageError: a field is missing or wrong.
    """
    snippets = [snippet for snippet in field(raw, "snippets", list) if isinstance(snippet, dict)]
    try:
        length = Length(raw.get("length"))
    except ValueError as error:
        raise MalformedMessageError("field 'length' is unknown") from error
    try:
        blank_lines = BlankLines(raw.get("blank_lines"))
    except ValueError as error:
        raise MalformedMessageError("field 'blank_lines' is unknown") from error
    return CompletionRequest(
        document=text_field(raw, "document"),
        path=text_field(raw, "path"),
        comment=text_field(raw, "comment"),
        prefix=text_field(raw, "prefix"),
        suffix=text_field(raw, "suffix"),
        snippets=[
            WireSnippet(**{name: text_field(snippet, name) for name in ("path", "comment", "text")})
            for snippet in snippets
        ],
        collection=None if raw.get("collection") is None else text_field(raw, "collection"),
        length=length,
        max_tokens=field(raw, "max_tokens", int),
        temperature=field(raw, "temperature", float),
        seed=abs(field(raw, "seed", int)),
        alternatives=min(MAX_ALTERNATIVES, max(1, field(raw, "alternatives", int))),
        blank_lines=blank_lines,
        instruction=None if raw.get("instruction") is None else text_field(raw, "instruction"),
    )


def answer_to_json(answer: Chunk | Completion) -> Message:
    """Return a piece of a stream as the object `answer_from_json` reads, but for its id."""
    if isinstance(answer, Chunk):
        return {"type": "chunk", "text": answer.text}
    raw = dataclasses.asdict(answer)
    return raw | {"type": "completion", "finish_reason": answer.finish_reason.value}


def answer_from_json(raw: Message) -> Chunk | Completion:
    """Read a piece of a stream.

    Raises:
        MalformedMessageError: it is none.
    """
    if raw.get("type") == "chunk":
        return Chunk(text=field(raw, "text", str))
    try:
        reason = FinishReason(raw.get("finish_reason"))
    except ValueError as error:
        raise MalformedMessageError("field 'finish_reason' is unknown") from error
    return Completion(
        text=field(raw, "text", str),
        finish_reason=reason,
        prompt_tokens=field(raw, "prompt_tokens", int),
        new_tokens=field(raw, "new_tokens", int),
        mean_log_probability=field(raw, "mean_log_probability", float),
        snippets_used=field(raw, "snippets_used", int),
        token_scores=_token_scores(field(raw, "token_scores", list)),
        prompt_tokens_read=field(raw, "prompt_tokens_read", int),
        timings=field(raw, "timings", dict),
    )


def _token_scores(raw: list[Any]) -> tuple[tuple[int, float], ...]:
    try:
        return tuple((int(end), float(score)) for end, score in raw)
    except (TypeError, ValueError) as error:
        raise MalformedMessageError("field 'token_scores' must hold pairs of numbers") from error


def status_to_json(status: EngineStatus) -> Message:
    """Return a status as the object `status_from_json` reads."""
    return dataclasses.asdict(status)


def status_from_json(raw: Message) -> EngineStatus:
    """Read a status.

    Raises:
        MalformedMessageError: a field is missing or unknown.
    """
    try:
        return EngineStatus(**raw)
    except TypeError as error:
        raise MalformedMessageError("the status has other fields") from error


def error_to_json(error: EngineError, *, request_id: int | None) -> Message:
    """Return an error as a message."""
    kind = type(error).__name__
    return {
        "type": "error",
        "id": request_id,
        "kind": kind if kind in _ERRORS else EngineError.__name__,
        "message": str(error),
    }


def error_from_json(raw: Message) -> EngineError:
    """Return the error that a message tells of."""
    return _ERRORS.get(str(raw.get("kind")), EngineError)(str(raw.get("message", "the engine failed")))


def _spellable(text: str) -> str:
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")
