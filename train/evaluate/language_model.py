"""The model under test: our engine in this process, or any server that speaks OpenAI's completions protocol."""

import json
import os
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from engine.api import Completion, CompletionRequest, Length, Snippet
from engine.completer import Completer, Source
from engine.decoding.generate import KeptTokens, decode, prefill
from engine.decoding.sampling import Choose, restrict, with_temperature
from engine.fim_formats import FimFormat, Order
from engine.model.key_value_cache import KeyValueCache
from engine.model_folder import ServedModel, read
from engine.prompt import PromptParts, build, end_ids, path_header
from train.errors import EvaluationError
from train.evaluate.suite import Continue, Extent, Infill, Question

_TIMEOUT = 600.0


class LanguageModel(Protocol):
    """Writes."""

    @property
    def name(self) -> str:
        """For the report."""

    def write(self, question: Question, *, temperature: float, seed: int) -> str:
        """Return what the model writes; temperature 0 is greedy.

        Raises:
            EvaluationError: it cannot answer.
            EngineError: our engine cannot.
        """


class EngineModel:
    """Our engine in this process, one question at a time.

    One-line holes go through `Completer`, which is what `midfill lsp` serves: token healing, and the n-gram cache of
    the file at hand if `source` says so. Everything longer is written by the network alone until an end mark or a stop
    string, as the published protocols ask.
    """

    def __init__(self, model: ServedModel, *, name: str, source: Source = Source.BOTH) -> None:
        self.name = name
        self._model = model
        self._completer = Completer(model, source=source)
        self._end_ids = end_ids(model.prompt_settings.fim, model.tokenizer)
        text = [token for token in range(model.tokenizer.vocab_size) if model.tokenizer.token_bytes(token)]
        self._writable = np.array([*text, *self._end_ids], np.int64)
        self._context_length = model.prompt_settings.context_length

    @classmethod
    def load(cls, folder: Path, *, name: str, source: Source = Source.BOTH) -> "EngineModel":
        """Read a model folder.

        Raises:
            ModelFolderError: it is missing or broken.
        """
        return cls(read(folder), name=name, source=source)

    def write(self, question: Question, *, temperature: float, seed: int) -> str:
        """Answer; see `LanguageModel`."""
        if isinstance(question, Continue):
            return self._continue(question, temperature, seed)
        if question.extent is Extent.LINE:
            return self._complete_line(question, temperature, seed)
        return self._infill(question, temperature, seed)

    def _complete_line(self, question: Infill, temperature: float, seed: int) -> str:
        request = CompletionRequest(
            document=question.path,
            path=question.path,
            comment=question.comment,
            prefix=question.prefix,
            suffix=question.suffix,
            snippets=question.snippets,
            length=Length.LINE,
            max_tokens=question.max_tokens,
            temperature=temperature,
            seed=seed,
        )
        *_, completion = self._completer.complete(request)
        assert isinstance(completion, Completion)
        return completion.text

    def _infill(self, question: Infill, temperature: float, seed: int) -> str:
        tokenizer, settings = self._model.tokenizer, self._model.prompt_settings
        parts = PromptParts(
            path=question.path,
            comment=question.comment,
            prefix=_valid(question.prefix),
            suffix=_valid(question.suffix),
            snippets=question.snippets,
        )
        new_tokens = self._room(question.max_tokens)
        prompt = build(parts, settings, tokenizer, budget=self._context_length - new_tokens)
        return self._generate(prompt.ids, (), new_tokens, with_temperature(temperature, seed=seed))

    def _continue(self, question: Continue, temperature: float, seed: int) -> str:
        tokenizer, fim = self._model.tokenizer, self._model.prompt_settings.fim
        begin = tokenizer.control_id(fim.begin_of_sequence) if fim.begin_of_sequence else None
        new_tokens = self._room(question.max_tokens)
        room = self._context_length - new_tokens - (begin is not None)
        context = tokenizer.encode(_valid(question.context))[: min(question.context_tokens, room // 4)]
        prompt = tokenizer.encode(_valid(question.prompt))[-(room - len(context)) :]
        ids = [*([] if begin is None else [begin]), *context, *prompt] or [self._end_ids[0]]  # something must be read
        return self._generate(ids, question.stop, new_tokens, with_temperature(temperature, seed=seed))

    def _room(self, max_tokens: int) -> int:
        """Return how many new tokens a window allows: most of a small one belongs to the prompt."""
        return min(max_tokens, self._context_length // 3)

    def _generate(self, ids: Sequence[int], stop: Sequence[str], new_tokens: int, choose: Choose) -> str:
        """Write until an end mark, a stop string, or `new_tokens`; text behind a stop string is cut by the suite."""
        transformer = self._model.transformer
        weight = transformer.embed_tokens.weight
        cache = KeyValueCache(
            transformer.config, capacity=len(ids) + new_tokens, dtype=weight.dtype, device=weight.device
        )
        kept = KeptTokens(ids=[], cache=cache)
        stream, text = self._model.tokenizer.stream(), ""
        searched = max(map(len, stop), default=0)
        logits = prefill(transformer, kept, ids, _never)
        for _ in range(new_tokens):
            assert logits is not None  # it was never cancelled
            probabilities = torch.softmax(logits.float(), dim=-1).cpu().numpy()
            token = choose(restrict(probabilities, self._writable))
            if token in self._end_ids:
                break
            piece = stream.push(token)
            text += piece
            if any(mark in text[-(searched + len(piece)) :] for mark in stop):
                break
            logits = decode(transformer, kept, [token])
        return text


class ServerModel:
    """A server with OpenAI's /v1/completions: vLLM, llama.cpp, and many more."""

    def __init__(self, url: str, *, model: str, fim: FimFormat | None) -> None:
        """Name the server.

        Args:
            url: up to and with `/v1`. The key, should it want one, is read from OPENAI_API_KEY.
            model: as the server calls it.
            fim: spells out prompts with holes; None sends the `suffix` field, which few servers understand.

        Raises:
            EvaluationError: the URL is none.
        """
        if not url.startswith(("http://", "https://")):
            raise EvaluationError(f"{url!r} is no http address; give --server http://HOST:PORT/v1")
        self.name = model
        self._url = url.rstrip("/")
        self._fim = fim

    def write(self, question: Question, *, temperature: float, seed: int) -> str:
        """Answer; see `LanguageModel`."""
        body: dict[str, object] = {
            "model": self.name,
            "max_tokens": question.max_tokens,
            "temperature": temperature,
            "seed": seed,
        }
        if isinstance(question, Continue):
            context = f"{question.context}\n" if question.context else ""
            body |= {"prompt": context + question.prompt, "stop": list(question.stop[:4])}
        else:
            before = f"{_headers(question.snippets)}{path_header(question.path, question.comment)}{question.prefix}"
            line = ["\n"] if question.extent is Extent.LINE else []
            if self._fim is None:
                body |= {"prompt": before, "suffix": question.suffix, "stop": line}
            else:
                marks = [*line, *self._fim.end_marks][:4]
                body |= {"prompt": _spell(self._fim, before, question.suffix), "stop": marks}
        return self._ask({name: value for name, value in body.items() if value != []})

    def _ask(self, body: dict[str, object]) -> str:
        headers = {"Content-Type": "application/json"}
        if key := os.environ.get("OPENAI_API_KEY"):
            headers["Authorization"] = f"Bearer {key}"
        request = urllib.request.Request(  # noqa: S310 - http and https only, checked above
            f"{self._url}/completions", json.dumps(body).encode(), headers
        )
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:  # noqa: S310
                return str(json.load(answer)["choices"][0]["text"])
        except urllib.error.HTTPError as error:
            with error:
                said = error.read(300).decode("utf-8", "replace").replace("\n", " ")
            raise EvaluationError(f"{self._url} answered {error.code}: {said or error.reason}") from error
        except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
            raise EvaluationError(f"{self._url} does not answer as a completions server does ({error})") from error


def _never() -> bool:
    return False


def _valid(text: str) -> str:
    """Replace lone surrogates, which data sets can hold and UTF-8 cannot spell."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def _headers(snippets: Sequence[Snippet]) -> str:
    return "".join(f"{path_header(snippet.path, snippet.comment)}{snippet.text.rstrip()}\n\n" for snippet in snippets)


def _spell(fim: FimFormat, prefix: str, suffix: str) -> str:
    """Return a prompt with a hole as text; the server adds what begins a sequence."""
    if fim.order is Order.PSM:
        return f"{fim.prefix_mark}{prefix}{fim.suffix_mark}{suffix}{fim.middle_mark}"
    return f"{fim.suffix_mark}{suffix}{fim.prefix_mark}{prefix}{fim.middle_mark}"
