"""The model under test: our engine in this process, or any server that speaks OpenAI's completions protocol."""

import json
import os
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from engine.api import Completion, CompletionRequest, FinishReason, Length, Snippet
from engine.completer import Completer, Source
from engine.decoding.generate import KeptTokens
from engine.decoding.healing import Healing, Rewriting
from engine.decoding.predictor import NetworkReading, Predictor
from engine.decoding.sampling import with_temperature
from engine.decoding.steps import write
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
        self._healing = Healing(model.tokenizer)
        self._end_ids = end_ids(model.prompt_settings.fim, model.tokenizer)
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
        healed = self._healing.heal(question.prefix)
        tokenizer, settings = self._model.tokenizer, self._model.prompt_settings
        parts = PromptParts(
            path=question.path,
            comment=question.comment,
            prefix=healed.prefix,
            suffix=question.suffix,
            snippets=question.snippets,
        )
        new_tokens = self._room(question.max_tokens)
        reserve = new_tokens + len(healed.removed.encode())
        prompt = build(parts, settings, tokenizer, budget=self._context_length - reserve)
        return self._generate(prompt.ids, healed.removed, (), reserve, new_tokens, temperature, seed)

    def _continue(self, question: Continue, temperature: float, seed: int) -> str:
        tokenizer, fim = self._model.tokenizer, self._model.prompt_settings.fim
        begin = tokenizer.control_id(fim.begin_of_sequence) if fim.begin_of_sequence else None
        healed = self._healing.heal(question.prompt)
        new_tokens = self._room(question.max_tokens)
        reserve = new_tokens + len(healed.removed.encode())
        room = self._context_length - reserve - (begin is not None)
        context = tokenizer.encode(question.context)[: min(question.context_tokens, room // 4)]
        prompt = tokenizer.encode(healed.prefix)
        kept = prompt[-(room - len(context)) :]
        ids = [*([] if begin is None else [begin]), *context, *kept]
        return self._generate(ids, healed.removed, question.stop, reserve, new_tokens, temperature, seed)

    def _room(self, max_tokens: int) -> int:
        """Return how many new tokens a window allows: most of a small one belongs to the prompt."""
        return min(max_tokens, self._context_length // 3)

    def _generate(
        self,
        ids: Sequence[int],
        removed: str,
        stop: Sequence[str],
        reserve: int,
        new_tokens: int,
        temperature: float,
        seed: int,
    ) -> str:
        transformer, tokenizer = self._model.transformer, self._model.tokenizer
        weight = transformer.embed_tokens.weight
        cache = KeyValueCache(transformer.config, capacity=len(ids) + reserve, dtype=weight.dtype, device=weight.device)
        predictor = Predictor(
            network=NetworkReading(transformer=transformer, prompt_ids=ids, kept=KeptTokens(ids=[], cache=cache)),
            cache=None,
            context=ids,
            end_ids=self._end_ids,
            cancelled=_never,
        )
        steps = write(
            predictor,
            rewriting=Rewriting(removed, self._healing, tokenizer, self._end_ids),
            stop=StopStrings(stop),
            choose=with_temperature(temperature, seed=seed),
            end_ids=self._end_ids,
            max_tokens=new_tokens,
            cancelled=_never,
        )
        return "".join(step.text for step in steps)


class StopStrings:
    """Ends before the first of some strings; fits `engine.decoding.stopping.Stop`.

    Text that could be the start of one is not held back, as nobody watches it come: a suite's `cut` removes it.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = stops
        self._text = ""

    def push(self, text: str) -> tuple[str, FinishReason | None]:
        """Let everything through, and end once a stop string is complete."""
        searched = max((len(stop) for stop in self._stops), default=1) - 1
        tail = self._text[-searched:] if searched else ""
        self._text = tail + text
        ended = any(stop in self._text for stop in self._stops)
        return text, FinishReason.BLOCK_END if ended else None

    def flush(self) -> str:
        """Return nothing: nothing is held back."""
        return ""


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


def _headers(snippets: Sequence[Snippet]) -> str:
    return "".join(f"{path_header(snippet.path, snippet.comment)}{snippet.text.rstrip()}\n\n" for snippet in snippets)


def _spell(fim: FimFormat, prefix: str, suffix: str) -> str:
    """Return a prompt with a hole as text; the server adds what begins a sequence."""
    if fim.order is Order.PSM:
        return f"{fim.prefix_mark}{prefix}{fim.suffix_mark}{suffix}{fim.middle_mark}"
    return f"{fim.suffix_mark}{suffix}{fim.prefix_mark}{prefix}{fim.middle_mark}"
