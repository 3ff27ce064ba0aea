"""An engine behind an address: any server with OpenAI's `/v1/completions` (vLLM, llama.cpp, Ollama, TGI; no torch).

The server computes; prompts, stopping rules and the text that is shown are ours, as with the engine on this machine.
"""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx2 as httpx

from engine.api import Chunk, Completion, CompletionRequest, EngineStatus, FinishReason, Length
from engine.api_keys import find_key
from engine.decoding.stopping import Stop, stop_for
from engine.errors import EngineError, EngineUnavailableError
from engine.fim_formats import FimFormat, by_model_name, by_name
from engine.prompt import PromptParts
from engine.remote_answers import choice_of, finish_of, json_object, prompt_tokens_of, text_of, whole_number
from engine.remote_errors import broken_connection, refusal
from engine.remote_text import MarkFilter
from engine.spelled_prompt import SpelledPrompt, spell
from engine.sse import events

_STATUS_SECONDS: Final = 30.0
"""How long a server that has answered is taken to be there."""
_RETRY_SECONDS: Final = 0.2
_MOST_STOPS: Final = 4
"""OpenAI's limit on stop strings."""
_LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteSettings:
    """Which server to ask, and how."""

    url: str
    """Up to and with `/v1`."""
    model: str = ""
    """As the server calls it; empty is the first one that it lists."""
    format: str = "auto"
    """A fill-in-the-middle format's name, `suffix` for servers that take the suffix in a field of its own and lay the
    prompt out themselves (Ollama), or `auto`: known by the model's name, `suffix` where it is not."""
    prompt_tokens: int = 2048
    """Longest prompt, estimated."""
    connect_seconds: float = 5.0
    read_seconds: float = 60.0
    """Longest pause between two pieces of an answer; the first needs the whole prompt to be read."""


class RemoteEngine:
    """An `engine.api.Engine` that asks a server; belongs to one asyncio loop."""

    def __init__(self, settings: RemoteSettings) -> None:
        """Prepare; nothing is sent before the first request.

        Raises:
            EngineError: the address is none, or there is no such format.
        """
        self._settings = settings
        self._base = httpx.URL(checked_url(settings.url))
        self._model = settings.model
        self._host = self._base.netloc.decode()
        timeout = httpx.Timeout(settings.read_seconds, connect=settings.connect_seconds)
        # A proxy of the environment must not be asked for what runs on this machine.
        self._client = httpx.AsyncClient(timeout=timeout, trust_env=self._base.host not in _LOOPBACK)
        self._key: str | None = None
        self._knows_key = False
        self._format = _known_format(settings.format)
        self._status: EngineStatus | None = None
        self._heard = 0.0
        self._not_before = 0.0
        """When a server that was asked too often wants to be asked again."""

    @classmethod
    async def connect(cls, settings: RemoteSettings) -> "RemoteEngine":
        """Reach the server and find out what it serves.

        Raises:
            EngineError: the address is none, the server cannot be reached, wants a key, or has no such model.
        """
        engine = cls(settings)
        try:
            await engine.status()
        except BaseException:
            await engine.close()
            raise
        return engine

    async def complete(self, request: CompletionRequest) -> AsyncIterator[Chunk | Completion]:
        """Stream `Chunk`s and end with one `Completion`; see `engine.api.Engine`.

        The mean log probability is 0: few servers tell it, and none in the same way.
        """
        await self._name_model()
        if request.instruction is not None:
            async with contextlib.aclosing(self._instruct(request)) as pieces:
                async for piece in pieces:
                    yield piece
            return
        fim = self._fim()
        parts = PromptParts(
            path=_valid(request.path),
            comment=_valid(request.comment),
            prefix=_valid(request.prefix),
            suffix=_valid(request.suffix),
            snippets=request.snippets,
            repository=Path(request.collection).name if request.collection else "",
        )
        prompt = spell(parts, fim, budget=self._settings.prompt_tokens)
        stop = stop_for(request.length, prefix=parts.prefix, suffix=parts.suffix)
        body = {
            "model": self._model,
            "prompt": prompt.text,
            "max_tokens": request.max_tokens,
            "temperature": request.temperature,
            "seed": request.seed,
            "stream": True,
        } | _ends(fim, prompt, request.length)
        marks = MarkFilter(fim)
        async with contextlib.aclosing(self._answer(body, prompt, stop, marks, request.length)) as pieces:
            async for piece in pieces:
                yield piece

    async def learn(self, collection: str, files: Mapping[str, Path]) -> int:  # noqa: ARG002 - the protocol's names
        """Do nothing: a server knows nothing of n-gram statistics."""
        return 0

    async def forget(self, collection: str, names: Sequence[str]) -> None:
        """Do nothing; see `learn`."""

    async def status(self) -> EngineStatus:
        """Say what the server serves; asked anew when it has not been heard of for a while.

        Raises:
            EngineError: it cannot be reached, wants a key, or has no such model.
        """
        if self._status is None or time.monotonic() - self._heard > _STATUS_SECONDS:
            self._status = await self._ask_status()
            self._heard = time.monotonic()
        return self._status

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _name_model(self) -> None:
        if not self._model:
            await self.status()

    def _fim(self) -> FimFormat | None:
        return by_model_name(self._model) if self._settings.format == "auto" else self._format

    async def _answer(
        self, body: Mapping[str, Any], prompt: SpelledPrompt, stop: Stop, marks: MarkFilter, length: Length
    ) -> AsyncGenerator[Chunk | Completion, None]:
        began = time.perf_counter()
        first: float | None = None
        texts: list[str] = []
        tokens = 0
        rule: FinishReason | None = None
        reason = FinishReason.END_MARK
        prompt_tokens = prompt.tokens
        async with contextlib.aclosing(self._events(body, path="completions")) as answers:
            async for answer in answers:
                first = first or time.perf_counter()
                prompt_tokens = prompt_tokens_of(answer) or prompt_tokens
                written = text_of(answer)
                tokens += bool(written)
                text, ended = marks.push(written)
                text, rule = stop.push(text)
                if text:
                    texts.append(text)
                    yield Chunk(text=text)
                finish = finish_of(answer, length)
                if rule or ended or finish:
                    reason = rule or (FinishReason.END_MARK if ended else None) or finish or reason
                    break
        if rule is None:  # the text ended by itself: nothing is held back any longer
            rest, rule = stop.push(marks.flush())
            reason = rule or reason
            rest += "" if rule or reason is not FinishReason.END_MARK else stop.flush()
            if rest:
                texts.append(rest)
                yield Chunk(text=rest)
        ended_at = time.perf_counter()
        first = first or ended_at
        yield Completion(
            text="".join(texts),
            finish_reason=reason,
            prompt_tokens=prompt_tokens,
            new_tokens=tokens,
            mean_log_probability=0.0,
            snippets_used=prompt.snippets_used,
            timings={"queue": 0.0, "prefill": (first - began) * 1e3, "decode": (ended_at - first) * 1e3},
        )

    async def _instruct(self, request: CompletionRequest) -> AsyncGenerator[Chunk | Completion, None]:
        """Put a question to `/v1/chat/completions`, where the server lays it out for its model."""
        began = time.perf_counter()
        body = {
            "model": self._model,
            "messages": [{"role": "user", "content": _valid(request.instruction or "")}],
            "max_tokens": request.max_tokens,
            "temperature": 0.0,
            "stream": True,
        }
        texts: list[str] = []
        reason = FinishReason.END_MARK
        async with contextlib.aclosing(self._events(body, path="chat/completions")) as answers:
            async for answer in answers:
                reason = finish_of(answer, Length.BLOCK) or reason
                if text := text_of(answer):
                    texts.append(text)
                    yield Chunk(text=text)
        yield Completion(
            text="".join(texts),
            finish_reason=reason,
            prompt_tokens=0,
            new_tokens=len(texts),
            mean_log_probability=0.0,
            snippets_used=0,
            timings={"decode": (time.perf_counter() - began) * 1e3},
        )

    async def _events(self, body: Mapping[str, Any], *, path: str) -> AsyncGenerator[dict[str, Any], None]:
        """Post a question and yield the events of its answer; leaving closes the connection, which aborts the work."""
        response = await self._post(body, path=path)
        try:
            if response.headers.get("content-type", "").startswith("application/json"):
                yield json_object(await response.aread())  # a server that does not stream
            else:
                finished = False
                async for event in events(response.aiter_lines()):
                    if event is None:
                        return
                    if "error" in event:
                        raise refusal(response.status_code, event, where=str(self._base), sent=body, key=self._key)
                    finished = finished or bool(choice_of(event).get("finish_reason"))
                    yield event
                if not finished:
                    raise EngineUnavailableError(f"{self._host} broke off in mid-answer; the next request tries again")
            self._heard = time.monotonic()
        except httpx.HTTPError as error:
            raise broken_connection(error, self._host, self._settings.read_seconds) from error
        except EngineUnavailableError as error:
            raise EngineUnavailableError(_led(self._host, str(error))) from error
        finally:
            await response.aclose()

    async def _post(self, body: Mapping[str, Any], *, path: str) -> httpx.Response:
        """Send a question and return the response whose body is still to come; tries once more where that may help."""
        for is_last_try in (False, True):
            self._hold_off()
            request = self._client.build_request(
                "POST", _below(self._base, path), json=dict(body), headers=await self._headers()
            )
            try:
                response = await self._client.send(request, stream=True)
            except (httpx.ConnectError, httpx.RemoteProtocolError) as error:
                if is_last_try:
                    raise broken_connection(error, self._host, self._settings.read_seconds) from error
            except httpx.HTTPError as error:
                raise broken_connection(error, self._host, self._settings.read_seconds) from error
            else:
                if response.is_success:
                    return response
                said = await _error_of(response)
                self._note_pause(response)
                if is_last_try or response.status_code not in (502, 503, 504):
                    raise refusal(response.status_code, said, where=str(self._base), sent=body, key=self._key)
            await asyncio.sleep(_RETRY_SECONDS)
        raise AssertionError("the last try returns or raises")

    async def _ask_status(self) -> EngineStatus:
        try:
            response = await self._client.get(_below(self._base, "models"), headers=await self._headers())
        except httpx.HTTPError as error:
            raise broken_connection(error, self._host, self._settings.read_seconds) from error
        listed: list[Mapping[str, Any]] = []
        if response.is_success:
            found = json_object(response.content).get("data")
            listed = [entry for entry in found or () if isinstance(entry, dict)] if isinstance(found, list) else []
        elif response.status_code not in (404, 405):  # some servers list nothing
            said = await _error_of(response)
            raise refusal(response.status_code, said, where=str(self._base), sent={}, key=self._key)
        entry = self._choose(listed)
        return EngineStatus(
            process_id=0,
            model=f"{self._model} at {self._base}",
            parameters=0,
            device=self._host,
            dtype="",
            context_length=whole_number(entry.get("max_model_len")) or self._settings.prompt_tokens,
            threads=0,
            memory_bytes=0,
            uptime_seconds=0.0,
            collections={},
        )

    def _choose(self, listed: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
        names = [str(entry.get("id")) for entry in listed]
        if not self._model:
            if not names:
                raise EngineError(f"{self._host} lists no models; say which one to ask for (setting 'engineModel')")
            self._model = names[0]
        if names and self._model not in names and f"{self._model}:latest" not in names:
            raise EngineError(f"{self._host} has no model {self._model!r}; it has {', '.join(names[:8])}")
        return next((entry for entry in listed if entry.get("id") == self._model), {})

    async def _headers(self) -> dict[str, str]:
        if not self._knows_key:  # a keyring may ask its user to unlock it, and nobody else should wait for that
            self._key = await asyncio.to_thread(find_key, self._host)
            self._knows_key = True
        return {"Authorization": f"Bearer {self._key}"} if self._key else {}

    def _hold_off(self) -> None:
        wait = self._not_before - time.monotonic()
        if wait > 0:
            raise EngineUnavailableError(f"{self._host} was asked too often and wants {wait:.0f} s without questions")

    def _note_pause(self, response: httpx.Response) -> None:
        if response.status_code == 429:
            seconds = whole_number(response.headers.get("retry-after"))
            self._not_before = time.monotonic() + min(1.0 if seconds is None else seconds, 300.0)


def checked_url(url: str) -> str:
    """Return an address without its last slash.

    Raises:
        EngineError: it is none.
    """
    try:
        parsed = httpx.URL(url.strip())
    except httpx.InvalidURL:
        parsed = httpx.URL("")
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise EngineError(f"{url!r} is no address of a server; give, for example, http://localhost:8000/v1")
    if parsed.userinfo:
        raise EngineError("the address holds a password; put the key in MIDFILL_API_KEY or the keyring instead")
    return str(parsed).rstrip("/")


def _known_format(name: str) -> FimFormat | None:
    return None if name in ("auto", "suffix") else by_name(name)


def _ends(fim: FimFormat | None, prompt: SpelledPrompt, length: Length) -> dict[str, Any]:
    """Return what a body says of the suffix and of where to stop; our own rules end the text again on this side."""
    if fim is None:
        return {"suffix": prompt.suffix} | ({"stop": ["\n"]} if length is Length.LINE else {})
    line = ["\n"] if length is Length.LINE else []
    return {"stop": [*line, *fim.end_texts, *fim.end_marks, *fim.other_end_marks][:_MOST_STOPS]}


async def _error_of(response: httpx.Response) -> Mapping[str, Any]:
    """Read what a refusal says; nothing where it says nothing that can be read."""
    try:
        found = json.loads(await response.aread())
    except (httpx.HTTPError, ValueError, RecursionError):
        found = {}
    finally:
        await response.aclose()
    return found if isinstance(found, dict) else {}


def _below(base: httpx.URL, path: str) -> httpx.URL:
    return base.copy_with(path=f"{base.path.rstrip('/')}/{path}")


def _led(host: str, text: str) -> str:
    return text if host in text else f"{host} sent {text}"


def _valid(text: str) -> str:
    """Replace lone surrogates, which editors can send and UTF-8 cannot spell."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")
