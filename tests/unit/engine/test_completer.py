import dataclasses
import itertools
import math

import pytest
import torch

from engine import model_folder
from engine.api import Chunk, Completion, CompletionRequest, FinishReason, Length
from engine.completer import Completer, Source
from engine.decoding.healing import Rewriting
from engine.ngram import NgramCollection
from engine.prompt import PromptMode, PromptParts, build, end_ids
from tests.support.tiny_model import CORPUS, write_tiny_model


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return model_folder.read(write_tiny_model(tmp_path_factory.mktemp("model")))


def request(**changes):
    values = {
        "document": "file:///a.py",
        "path": "a.py",
        "comment": "#",
        "prefix": CORPUS[:300],
        "suffix": "\n\nprint(1)\n",
        "max_tokens": 12,
    }
    return CompletionRequest(**(values | changes))


def complete(completer, asked, cancelled=lambda: False):
    *chunks, completion = completer.complete(asked, cancelled)
    assert all(isinstance(chunk, Chunk) and chunk.text for chunk in chunks)
    assert isinstance(completion, Completion)
    assert "".join(chunk.text for chunk in chunks) == completion.text
    return completion


def library(model, **documents):
    collection = NgramCollection(model.transformer.config.vocab_size)
    collection.learn({f"{name}.py": model.tokenizer.encode(text) for name, text in documents.items()})
    return {"r": collection}.get


def slow_greedy(model, asked):
    """The network alone, the whole sequence read anew for every token, no healing, no kept keys and values."""
    parts = PromptParts(path=asked.path, comment=asked.comment, prefix=asked.prefix, suffix=asked.suffix)
    limit = model.prompt_settings.context_length
    prompt = build(parts, model.prompt_settings, model.tokenizer, budget=limit - asked.max_tokens)
    ends = end_ids(model.prompt_settings.fim, model.tokenizer)
    allowed = [t for t in range(model.tokenizer.vocab_size) if model.tokenizer.token_bytes(t) or t in ends]
    ids, new = list(prompt.ids), []
    while len(new) < asked.max_tokens:
        with torch.inference_mode():
            logits = model.transformer(torch.tensor([ids + new]))[0, -1]
        token = max(allowed, key=lambda token: float(logits[token]))
        if token in ends:
            break
        new.append(token)
    return model.tokenizer.decode(new)


def prefix_that_needs_no_healing(completer):
    """End in a token that no other token continues."""
    return next(text for end in range(300, 0, -1) if not completer._healing.heal(text := CORPUS[:end]).removed)


@pytest.mark.parametrize("suffix", ["", "\n", "\n    return x\n", ")\n" * 40])
def test_greedy_text_equals_the_slow_reference_wherever_the_cursor_stands(model, suffix):
    """Healing is for the n-gram models: it never changes what the network alone writes."""
    completer = Completer(model, source=Source.NETWORK)
    compared = 0
    for cursor in range(280, 320):
        asked = request(prefix=CORPUS[:cursor], suffix=suffix, length=Length.BLOCK, max_tokens=8)
        expected = slow_greedy(model, asked)
        text = complete(completer, asked).text
        assert text == expected[: len(text)]
        compared += len(text)
    assert compared > 40


def test_a_left_to_right_network_reads_the_tokens_that_healing_leaves(model):
    """It continues the natural tokens of the prefix, and its text still begins with what was typed."""
    settings = dataclasses.replace(model.prompt_settings, mode=PromptMode.LEFT_TO_RIGHT)
    completer = Completer(dataclasses.replace(model, prompt_settings=settings), source=Source.NETWORK)
    tokenizer = model.tokenizer
    for cursor in range(280, 310):
        asked = request(prefix=CORPUS[:cursor], suffix="ignored\n", length=Length.BLOCK, max_tokens=6)
        text = complete(completer, asked).text
        healed = completer._healing.heal(asked.prefix)
        ids = tokenizer.encode("#a.py\n" + healed.prefix)
        rewriting = Rewriting(healed.removed, completer._healing, tokenizer, completer._end_ids)
        shown, new = "", 0
        while new < 6:
            with torch.inference_mode():
                logits = model.transformer(torch.tensor([ids]))[0, -1]
            token = max(rewriting.candidates().tolist(), key=lambda token: (float(logits[token]), -token))
            if token in completer._end_ids:
                break
            new += bool(rewriting.beyond(token))
            shown += rewriting.push(token)
            ids.append(token)
        assert text == shown[: len(text)]


@pytest.mark.parametrize("source", Source)
@pytest.mark.parametrize("length", Length)
def test_kept_keys_and_values_never_change_an_answer(model, source, length):
    """Typing, deleting and jumping about in one document gives what a fresh completer gives."""
    find = library(model, other=CORPUS)
    kept = Completer(model, source=source, find_collection=find)
    for cursor in (200, 201, 202, 203, 150, 150, 500, 499, 0, 640):
        asked = request(prefix=CORPUS[:cursor], suffix=CORPUS[cursor:], length=length, collection="r", max_tokens=6)
        fresh = complete(Completer(model, source=source, find_collection=find), asked)
        again = complete(kept, asked)
        assert again.text == fresh.text
        assert again.finish_reason == fresh.finish_reason
        assert again.mean_log_probability == pytest.approx(fresh.mean_log_probability, abs=1e-4)


def test_a_repeated_prompt_reads_one_token_of_it(model):
    completer = Completer(model, source=Source.NETWORK)
    asked = request(max_tokens=1)
    first = complete(completer, asked)
    again = complete(completer, asked)
    assert first.prompt_tokens_read == first.prompt_tokens
    assert again.prompt_tokens_read == 1


def test_the_repository_is_completed_from_without_any_trained_network(model):
    completer = Completer(model, source=Source.CACHE, find_collection=library(model, other=CORPUS))
    completion = complete(completer, request(prefix="class Other:\n    def load(self) ->", collection="r"))
    assert completion.text == " None:"
    assert completion.finish_reason is FinishReason.LINE_END


def test_the_open_file_is_completed_from_without_a_collection(model):
    completer = Completer(model, source=Source.CACHE)
    completion = complete(completer, request(prefix=CORPUS + "\n\ndef other(folder: Path) -", suffix=""))
    assert completion.text.startswith("> Settings")


@pytest.mark.parametrize("cut", range(1, 7))
def test_inside_a_name_the_rest_of_it_is_written(model, cut):
    completer = Completer(model, source=Source.CACHE, find_collection=library(model, other=CORPUS))
    line = "    settings.load()"
    asked = request(prefix="def f(settings):\n" + line[:-cut], collection="r")
    completion = complete(completer, asked)
    assert completion.text == line[-cut:]


def test_the_edited_files_version_on_disk_never_answers(model):
    find = library(model, a="secret_name = 'only in the edited file'\n" * 5, b=CORPUS)
    completer = Completer(model, source=Source.CACHE, find_collection=find)
    own = complete(completer, request(prefix="secret_", suffix="", collection="r"))
    other = complete(completer, request(prefix="secret_", suffix="", collection="r", path="c.py"))
    assert other.text.startswith("name = 'only in")
    assert "only" not in own.text


@pytest.mark.parametrize("source", Source)
@pytest.mark.parametrize("length", Length)
@pytest.mark.parametrize(
    ("prefix", "suffix"),
    [
        ("", ""),
        ("", "x = 1\n"),
        ("x", ""),
        ("\n", "\n"),
        ("é\u3042👩‍💻", "👩"),
        ("\ud800a", "\udfff"),
        ("\0\x0c\u2028", "\r"),
    ],
    ids=ascii,
)
def test_any_text_is_answered(model, source, length, prefix, suffix):
    asked = request(prefix=prefix, suffix=suffix, length=length, max_tokens=5)
    completion = complete(Completer(model, source=source), asked)
    assert completion.new_tokens <= 5
    completion.text.encode()  # no half characters


@pytest.mark.parametrize("source", Source)
def test_text_longer_than_the_context_is_cut(model, source):
    completion = complete(Completer(model, source=source), request(prefix=CORPUS * 20, suffix=CORPUS * 20))
    assert completion.prompt_tokens <= 512
    assert completion.new_tokens


def test_the_prompt_limit_is_kept(model):
    completion = complete(Completer(model, prompt_tokens=100), request(prefix=CORPUS * 5))
    assert 50 < completion.prompt_tokens <= 100


def test_no_token_is_written_when_none_is_asked_for(model):
    completion = complete(Completer(model), request(max_tokens=0))
    assert (completion.text, completion.finish_reason) == ("", FinishReason.MAX_TOKENS)
    assert completion.mean_log_probability == 0


def test_more_tokens_than_the_model_has_room_for_are_not_written(model):
    completion = complete(
        Completer(model, source=Source.NETWORK), request(max_tokens=10**9, length=Length.BLOCK, prefix=CORPUS * 9)
    )
    assert completion.prompt_tokens + completion.new_tokens <= 512


@pytest.mark.parametrize("source", Source)
@pytest.mark.parametrize("chunks", [0, 1, 3])
def test_after_a_cancel_no_further_token_is_written(model, source, chunks):
    completer = Completer(model, source=source)
    seen = []
    asked = request(prefix="x = '", length=Length.BLOCK, max_tokens=50, temperature=1.0)
    for answer in completer.complete(asked, lambda: len(seen) >= chunks):
        seen.append(answer)
    assert len(seen) == chunks + 1
    assert answer.finish_reason is FinishReason.CANCELLED


def test_a_cancelled_prompt_is_read_on_from_where_it_stopped(model):
    completer = Completer(model, source=Source.NETWORK)
    asked = request(prefix=CORPUS)
    looks = itertools.count()
    completion = complete(completer, asked, lambda: next(looks) == 2)
    assert (completion.finish_reason, completion.new_tokens) == (FinishReason.CANCELLED, 0)
    assert complete(completer, asked).text == complete(Completer(model, source=Source.NETWORK), asked).text


def test_a_seed_repeats_an_answer_and_another_seed_varies_it(model):
    completer = Completer(model, source=Source.NETWORK)
    texts = {
        seed: complete(completer, request(temperature=1.5, seed=seed, length=Length.BLOCK)).text for seed in range(6)
    }
    for seed, text in texts.items():
        assert complete(completer, request(temperature=1.5, seed=seed, length=Length.BLOCK)).text == text
    assert len(set(texts.values())) > 1


def test_no_mark_is_ever_written(model, monkeypatch):
    """Even a network that wants nothing but marks and unused ids writes text, or ends."""
    begin = model.tokenizer.control_id(model.prompt_settings.fim.begin_of_sequence)

    def want_marks(ids, cache):
        cache.advance(ids.shape[1])
        logits = torch.zeros(ids.shape[1], model.transformer.config.vocab_size)
        logits[:, [begin, -1]] = 1000.0  # all else underflows
        return logits

    monkeypatch.setattr(model.transformer, "next_logits", lambda ids, cache: want_marks(ids, cache)[-1:])
    monkeypatch.setattr(model.transformer, "logits", want_marks)
    completion = complete(Completer(model, source=Source.NETWORK), request(length=Length.BLOCK))
    assert completion.new_tokens
    assert "｜" not in completion.text


def test_timings_name_every_hop(model):
    timings = complete(Completer(model), request()).timings
    assert set(timings) == {"prompt", "prefill", "decode"}
    assert all(value >= 0 for value in timings.values())


def test_snippets_go_into_the_prompt(model):
    @dataclasses.dataclass
    class Piece:
        path: str
        comment: str
        text: str

    piece = Piece("b.py", "#", "def b():\n    pass\n")
    with_snippet = complete(Completer(model), request(snippets=[piece]))
    without = complete(Completer(model), request())
    assert with_snippet.snippets_used == 1
    assert with_snippet.prompt_tokens > without.prompt_tokens


def test_log_probabilities_are_those_of_the_network(model):
    completer = Completer(model, source=Source.NETWORK)
    prefix = prefix_that_needs_no_healing(completer)
    asked = request(prefix=prefix, max_tokens=1, length=Length.BLOCK)
    completion = complete(completer, asked)
    parts = PromptParts(path="a.py", comment="#", prefix=prefix, suffix=asked.suffix)
    prompt = build(parts, model.prompt_settings, model.tokenizer, budget=511)
    with torch.inference_mode():
        probabilities = torch.softmax(model.transformer(torch.tensor([prompt.ids]))[0, -1], -1)
    ends = end_ids(model.prompt_settings.fim, model.tokenizer)
    allowed = [t for t in range(model.tokenizer.vocab_size) if model.tokenizer.token_bytes(t) or t in ends]
    best = probabilities[allowed].max() / probabilities[allowed].sum()
    assert completion.mean_log_probability == pytest.approx(math.log(best), abs=1e-4)


def test_more_alternatives_than_there_are_first_tokens_are_left_out(model):
    """Where a half-typed word allows few tokens, the others have no probability to begin a text with."""
    completer = Completer(model, find_collection=library(model, other=CORPUS))
    for cursor in (28, 29, 34, 69):  # behind ` im`, ` imp`, ` P`, ` t`: one token goes on
        asked = request(prefix=CORPUS[:cursor], suffix=CORPUS, collection="r", alternatives=5, max_tokens=3)
        texts = [answer.text for answer in completer.complete(asked) if isinstance(answer, Completion)]
        assert 1 <= len(texts) == len(set(texts)) <= 5
