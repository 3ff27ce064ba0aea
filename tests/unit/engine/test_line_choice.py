"""Whole lines: which are proposed, which is chosen, and that a chosen line is as good as one written token by token."""

import heapq
import math
from dataclasses import replace

import pytest

from engine import model_folder
from engine.api import Completion, CompletionRequest, FinishReason
from engine.cache_model import CacheModel
from engine.completer import Completer, Source
from engine.decoding.healing import Healing
from engine.decoding.line_choice import LineChoice
from engine.decoding.predictor import Predictor
from engine.line_features import BY_PROBABILITY, score
from engine.ngram import NgramCollection, NgramModel
from engine.prompt import PromptMode
from tests.support.tiny_model import CORPUS, write_tiny_model

HANDLES = "file.open()\nfile.read()\nfile.close()\n\n" * 3 + "file.open()\nfile.write()\nfile.flush()\n\n" * 2

FITTED = BY_PROBABILITY | {"characters": 0.01, "repeats_next_line": -2.0, "similar_lines": 0.2, "unknown_names": -0.5}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model that reads left to right and compares six lines."""
    model = model_folder.read(write_tiny_model(tmp_path_factory.mktemp("model")))
    settings = replace(model.prompt_settings, mode=PromptMode.LEFT_TO_RIGHT)
    return replace(model, prompt_settings=settings, mixture=replace(model.mixture, proposed_lines=6))


def request(prefix, suffix, **changes):
    values = {"document": "a", "path": "a.py", "comment": "#", "prefix": prefix, "suffix": suffix, "collection": "r"}
    return CompletionRequest(**(values | changes))


def completer(model, text, source=Source.CACHE):
    collection = NgramCollection(model.network.config.vocab_size)
    collection.learn({"other.py": model.tokenizer.encode(text)})
    return Completer(model, source=source, find_collection=lambda _: collection)


def complete(completer, asked, cancelled=lambda: False):
    *_, completion = completer.complete(asked, cancelled)
    assert isinstance(completion, Completion)
    return completion


@pytest.mark.parametrize(("behind", "line"), [("file.close()", "file.read()"), ("file.flush()", "file.write()")])
def test_what_stands_behind_the_cursor_chooses_the_line(model, behind, line):
    asked = request("import file\nfile.open()\n", f"\n{behind}\n")
    assert complete(completer(model, HANDLES), asked).text == line
    one_by_one = replace(model, mixture=replace(model.mixture, proposed_lines=0))
    assert complete(completer(one_by_one, HANDLES), asked).text == "file.read()"


@pytest.mark.parametrize("typed", ["", "f", "file", "file.", "file.w"])
def test_every_proposal_begins_with_what_was_typed(model, typed):
    prefix = f"import file\nfile.open()\n{typed}"
    text = complete(completer(model, HANDLES), request(prefix, "\nfile.flush()\n")).text
    assert f"{typed}{text}" == "file.write()"


@pytest.mark.parametrize(("weight", "line"), [(-100.0, "file.read()"), (100.0, "file.close()")])
def test_the_weights_of_the_features_choose(model, weight, line):
    weighed = replace(
        model, mixture=replace(model.mixture, line_weights=BY_PROBABILITY | {"repeats_next_line": weight})
    )
    assert complete(completer(weighed, HANDLES), request("import file\nfile.open()\n", "\nfile.close()\n")).text == line


@pytest.mark.parametrize("source", [Source.CACHE, Source.BOTH])
@pytest.mark.parametrize("weights", [BY_PROBABILITY, FITTED, BY_PROBABILITY | {"behind": -0.5}])
def test_the_line_that_is_chosen_is_the_best_of_all_judged_in_full(model, source, weights):
    """Completing leaves a line as soon as it must lose; the reference reads every line to its end."""
    weighed = replace(model, mixture=replace(model.mixture, line_weights=weights))
    judging, writing = completer(weighed, HANDLES + CORPUS, source), completer(weighed, HANDLES + CORPUS, source)
    compared = 0
    for cursor in range(60, 700, 35):
        asked = request(CORPUS[:cursor], CORPUS[cursor:])
        judged = judging.judged_lines(asked)
        compared += len(judged) > 1
        if judged:
            best = max(judged, key=lambda line: score(line.features, weights))
            assert complete(writing, asked).text == best.text
    assert compared > 3


def test_a_request_without_a_choice_has_no_judged_lines(model):
    one_by_one = replace(model, mixture=replace(model.mixture, proposed_lines=0))
    assert completer(one_by_one, HANDLES).judged_lines(request("import file\nfile.open()\n", "\n")) == []


def test_no_blank_line_takes_the_place_of_one_with_text(model):
    """After `file.open()` a blank line is likelier than any one way to go on, but some way is likelier still."""
    text = "".join(f"file.open()\nfile.read({n})\n" for n in range(9)) + "file.open()\n\n" * 5
    assert complete(completer(model, text), request("import file\nfile.open()\n", "\n\n")).text.startswith("file.")


@pytest.mark.parametrize("source", [Source.CACHE, Source.BOTH])
def test_a_chosen_line_has_the_scores_of_one_written_token_by_token(model, source):
    asked = request("import file\nfile.open()\nfile.wr", "\nfile.flush()\n")
    chosen = complete(completer(model, HANDLES, source), asked)
    assert len(chosen.token_scores) == chosen.new_tokens > 0
    assert chosen.finish_reason is FinishReason.LINE_END
    ends = [end for end, _ in chosen.token_scores]
    assert ends == sorted(ends)
    assert ends[-1] == len(chosen.text)


@pytest.mark.parametrize("source", [Source.CACHE, Source.BOTH])
def test_lines_that_were_compared_leave_nothing_behind(model, source):
    """Keys and values of lines that were not chosen must not answer for the next request."""
    kept = completer(model, HANDLES + CORPUS, source)
    for cursor in (200, 201, 202, 150, 500, 0, 640):
        asked = request(CORPUS[:cursor], CORPUS[cursor:])
        assert complete(kept, asked).text == complete(completer(model, HANDLES + CORPUS, source), asked).text


def test_a_request_that_is_cancelled_while_lines_are_compared_says_so(model):
    asked = request("import file\nfile.open()\n", "\nfile.flush()\n")
    reasons = set()
    for patience in range(1, 40):
        looks = iter(range(patience))
        reasons.add(complete(completer(model, HANDLES), asked, lambda: next(looks, None) is None).finish_reason)  # noqa: B023
    assert reasons == {FinishReason.CANCELLED, FinishReason.LINE_END}


@pytest.mark.parametrize("max_tokens", [1, 3, 64])
def test_no_line_outgrows_the_room_behind_the_prompt(model, max_tokens):
    asked = request(CORPUS[:300], CORPUS[300:], max_tokens=max_tokens)
    complete(completer(model, CORPUS, Source.BOTH), asked)


@pytest.mark.parametrize("cursor", range(100, 700, 40))
def test_the_first_proposal_is_the_likeliest_line(model, cursor):
    """The beam against an exhaustive search, which opens the likeliest beginning first."""
    healing = Healing(model.tokenizer)
    healed = healing.heal(CORPUS[:cursor])
    vocabulary_size = model.network.config.vocab_size
    cache = CacheModel(
        model.mixture, file=NgramModel.of_documents([model.tokenizer.encode(CORPUS)], vocabulary_size), collection=None
    )
    predictor = Predictor(
        reading=None,
        cache=cache,
        context=model.tokenizer.encode(healed.prefix),
        end_ids=(),
        healing=healing,
        reads_to_the_cursor=False,
    )
    choice = LineChoice(
        predictor=predictor,
        width=6,
        room=64,
        removed=healed.removed,
        prefix=CORPUS[:cursor],
        suffix="",
        weights=BY_PROBABILITY,
        healing=healing,
        tokenizer=model.tokenizer,
        end_ids=(),
    )
    assert choice._proposals()[0] == _likeliest(predictor, healing, model.tokenizer, healed.removed)


def _likeliest(predictor, healing, tokenizer, removed):
    """Return the likeliest line by uniform-cost search."""
    heap = [(0.0, b"", removed.encode(), ())]
    while True:
        cost, text, remaining, tokens = heapq.heappop(heap)
        new = text[len(removed.encode()) :]
        if b"\n" in new:
            line = new.partition(b"\n")[0].decode()
            if line.strip():
                return line
            continue
        allowed = healing.candidates(remaining) if remaining else healing.text_and(())
        shares = predictor.by_the_cache(tokens)[allowed]
        for token, share in zip(allowed.tolist(), (shares / shares.sum()).tolist(), strict=True):
            if share > 0:
                spelled = tokenizer.token_bytes(token)
                entry = (cost - math.log(share), text + spelled, remaining[len(spelled) :], (*tokens, token))
                heapq.heappush(heap, entry)
