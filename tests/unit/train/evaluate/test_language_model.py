"""Models under test: ours in this process and a real HTTP server, asked the same questions."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch

from engine.api import CompletionRequest
from engine.completer import Completer, Source
from engine.fim_formats import by_name
from engine.model_folder import read
from tests.support.tiny_model import CORPUS, write_tiny_model
from train.errors import EvaluationError
from train.evaluate.language_model import EngineModel, ServerModel
from train.evaluate.suite import Continue, Extent, Infill, before_first


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def model(folder: Path) -> EngineModel:
    return EngineModel.load(folder, name="tiny", source=Source.NETWORK)


def test_one_line_answers_are_what_the_language_server_would_show(folder: Path, model: EngineModel) -> None:
    question = Infill(prefix=CORPUS[:200], suffix=CORPUS[230:400], extent=Extent.LINE, max_tokens=20)
    request = CompletionRequest(
        document="d", path="solution.py", comment="#", prefix=question.prefix, suffix=question.suffix, max_tokens=20
    )
    *_, completion = Completer(read(folder), source=Source.NETWORK).complete(request)
    assert model.write(question, temperature=0, seed=0) == completion.text
    assert "\n" not in completion.text


def test_text_goes_on_greedily_as_the_network_alone_says(folder: Path, model: EngineModel) -> None:
    """The slow reference: the whole sequence anew for every token, no cache of keys and values."""
    served = read(folder)
    tokenizer = served.tokenizer
    prompt = CORPUS[: CORPUS.index("        self.values")]  # ends with a line end: nothing to heal
    begin = tokenizer.control_id("<｜begin▁of▁sentence｜>")
    ids = [begin, *tokenizer.encode(prompt)]
    allowed = [token for token in range(tokenizer.vocab_size) if tokenizer.token_bytes(token)]
    ends = [tokenizer.control_id(mark) for mark in served.prompt_settings.fim.marks[1:]]
    written: list[int] = []
    while len(written) < 12:
        logits = served.transformer(torch.tensor([[*ids, *written]]))[0, -1]
        kept = torch.full_like(logits, float("-inf"))
        choices = torch.tensor([*allowed, *ends])
        kept[choices] = logits[choices]
        token = int(kept.argmax())
        if token in ends:
            break
        written.append(token)
    answer = model.write(Continue(prompt=prompt, max_tokens=12), temperature=0, seed=0)
    assert answer == "".join(map(tokenizer.stream().push, written))


def test_sampling_is_repeatable_by_seed(model: EngineModel) -> None:
    question = Continue(prompt=CORPUS, max_tokens=30)
    answers = [model.write(question, temperature=1.0, seed=seed) for seed in (1, 1, 2)]
    assert answers[0] == answers[1] != answers[2]


@pytest.mark.parametrize(
    "question",
    [
        Continue(prompt=CORPUS * 20, context=CORPUS * 20, max_tokens=500),
        Infill(prefix=CORPUS * 20, suffix=CORPUS * 20, max_tokens=500),
        Infill(prefix=CORPUS * 20, suffix=CORPUS * 20, extent=Extent.LINE, max_tokens=500),
        Continue(prompt="", max_tokens=5),
        Infill(prefix="", suffix="", max_tokens=5),
        Infill(prefix="<｜fim▁end｜>é", suffix="\ud800", extent=Extent.LINE, max_tokens=5),
    ],
    ids=["long", "long hole", "long line", "empty", "empty hole", "odd"],
)
def test_any_text_gets_an_answer(model: EngineModel, question: Continue | Infill) -> None:
    assert isinstance(model.write(question, temperature=0, seed=0), str)


@pytest.mark.parametrize("stop", ["e", "se", "\n", "self", " "])
def test_generation_ends_with_the_first_stop_string_however_tokens_cut_it(model: EngineModel, stop: str) -> None:
    for seed in range(5):
        full = model.write(Continue(prompt=CORPUS, max_tokens=40), temperature=1.0, seed=seed)
        cut = model.write(Continue(prompt=CORPUS, max_tokens=40, stop=("@@@", stop)), temperature=1.0, seed=seed)
        assert before_first(cut, (stop,)) == before_first(full, (stop,))
        assert full.startswith(cut)
        assert cut == full or stop in cut


class _Recorder(BaseHTTPRequestHandler):
    asked: ClassVar[list[dict[str, Any]]]
    answer: ClassVar[tuple[int, bytes]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.asked.append({"path": self.path, "key": self.headers.get("Authorization"), **json.loads(body)})
        status, text = self.answer
        self.send_response(status)
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[tuple[str, type[_Recorder]]]:
    class Handler(_Recorder):
        asked: ClassVar[list[dict[str, Any]]] = []
        answer = (200, json.dumps({"choices": [{"text": "answer"}]}).encode())

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}/v1/", Handler
        http.shutdown()
        thread.join()


def test_a_server_is_asked_in_openai_s_words(
    server: tuple[str, type[_Recorder]], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, handler = server
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    model = ServerModel(url, model="some-model", fim=by_name("deepseek-coder"))
    assert model.write(Continue(prompt="def f", stop=("\nx",), max_tokens=7), temperature=0.2, seed=3) == "answer"
    model.write(Infill(prefix="a = ", suffix="\n", path="m.py", extent=Extent.LINE), temperature=0, seed=0)
    ServerModel(url, model="m", fim=None).write(Infill(prefix="a", suffix="b"), temperature=0, seed=0)
    plain, marked, suffixed = handler.asked
    assert plain == {
        "path": "/v1/completions",
        "key": "Bearer secret",
        "model": "some-model",
        "prompt": "def f",
        "max_tokens": 7,
        "temperature": 0.2,
        "seed": 3,
        "stop": ["\nx"],
    }
    assert marked["prompt"] == "<｜fim▁begin｜>#m.py\na = <｜fim▁hole｜>\n<｜fim▁end｜>"
    assert marked["stop"] == ["\n", "<｜end▁of▁sentence｜>"]
    assert (suffixed["prompt"], suffixed["suffix"]) == ("#solution.py\na", "b")


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ((500, b"out of\nmemory"), "answered 500: out of memory"),
        ((200, b"no json"), "does not answer as a completions server does"),
        ((200, b'{"choices": []}'), "does not answer as a completions server does"),
    ],
)
def test_a_server_that_fails_is_named_in_one_line(
    server: tuple[str, type[_Recorder]], answer: tuple[int, bytes], message: str
) -> None:
    url, handler = server
    handler.answer = answer
    with pytest.raises(EvaluationError, match=message) as caught:
        ServerModel(url, model="m", fim=None).write(Continue(prompt="x"), temperature=0, seed=0)
    assert "\n" not in str(caught.value)


def test_a_server_that_is_not_there_is_named_in_one_line() -> None:
    with pytest.raises(EvaluationError, match="does not answer"):
        ServerModel("http://127.0.0.1:9/v1", model="m", fim=None).write(Continue(prompt="x"), temperature=0, seed=0)
    with pytest.raises(EvaluationError, match="is no http address"):
        ServerModel("file:///etc/passwd", model="m", fim=None)
