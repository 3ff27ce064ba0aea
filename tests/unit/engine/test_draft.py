import numpy as np
import pytest

from engine import model_folder
from engine.api import CompletionRequest, Length
from engine.completer import Completer, Drafting, Source
from engine.decoding.draft import AcceptanceRates, PromptIndex
from engine.model_names import DEFAULT_MODEL
from engine.ngram import NgramCollection, NgramModel
from engine.prompt import PromptMode
from tests.support.tiny_model import CORPUS, write_tiny_model


@pytest.fixture(scope="module", params=["tiny", "tiny, between tokens", "default"])
def model(request, tmp_path_factory):
    if request.param == "default":
        return model_folder.read(DEFAULT_MODEL)
    made = model_folder.read(write_tiny_model(tmp_path_factory.mktemp("model"), seed=3))
    if request.param == "tiny":
        return made
    from dataclasses import replace

    return replace(made, prompt_settings=replace(made.prompt_settings, mode=PromptMode.LEFT_TO_RIGHT))


def answer(completer, asked):
    *_, completion = completer.complete(asked)
    return completion


@pytest.mark.parametrize("source", [Source.NETWORK, Source.BOTH])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_drafting_never_changes_what_is_written(model, source, temperature):
    collection = NgramCollection(model.network.config.vocab_size)
    collection.learn({"other.py": model.tokenizer.encode(CORPUS)})
    find = {"r": collection}.get
    drafting = Completer(model, source=source, find_collection=find)
    plain = Completer(model, source=source, find_collection=find, drafting=Drafting.OFF)
    for cursor in range(40, 640, 83):
        asked = CompletionRequest(
            document="d", path="a.py", comment="#", prefix=CORPUS[:cursor], suffix=CORPUS[cursor + 20 :],
            collection="r", length=(Length.LINE, Length.BLOCK)[cursor % 2], max_tokens=24, temperature=temperature,
        )  # fmt: skip
        fast, slow = answer(drafting, asked), answer(plain, asked)
        assert (fast.text, fast.finish_reason) == (slow.text, slow.finish_reason)
        assert [end for end, _ in fast.token_scores] == [end for end, _ in slow.token_scores]
        scores = [[score for _, score in completion.token_scores] for completion in (fast, slow)]
        assert scores[0] == pytest.approx(scores[1], abs=1e-3)


def test_a_repository_that_knows_the_text_needs_few_passes(tmp_path, monkeypatch):
    model = model_folder.read(write_tiny_model(tmp_path))
    collection = NgramCollection(model.network.config.vocab_size)
    collection.learn({"other.py": model.tokenizer.encode(CORPUS)})
    asked = CompletionRequest(
        document="d", path="a.py", comment="#", prefix=CORPUS[:250], suffix="", collection="r", length=Length.BLOCK,
        max_tokens=40,
    )  # fmt: skip
    passes = {}
    for drafting in Drafting:
        counted = []
        completer = Completer(model, find_collection=lambda name: collection, drafting=drafting)
        for name in ("logits", "next_logits"):
            real = getattr(type(model.network), name)
            monkeypatch.setattr(model.network, name, _counting(model.network, real, counted))
        assert answer(completer, asked).new_tokens > 20
        passes[drafting] = len(counted)
    assert passes[Drafting.ON] * 2 < passes[Drafting.OFF]


def _counting(network, real, counted):
    def read(ids, cache):
        counted.append(1)
        return real(network, ids, cache)

    return read


def slow_continuation(ids, limit):
    """Compare the end of a sequence with every earlier place, one token after another."""
    best, best_match = 0, 1
    for position in range(1, len(ids)):
        match = 0
        while match < min(15, position) and ids[position - 1 - match] == ids[-1 - match]:
            match += 1
        if match >= max(best_match, 2):
            best, best_match = position, match
    return (ids[best : best + limit], best_match) if best else ([], 0)


def test_prompt_lookup_finds_the_last_of_the_longest_matches():
    chance = np.random.default_rng(0)
    for _ in range(200):
        ids = chance.integers(0, 4, chance.integers(1, 60)).tolist()
        index = PromptIndex(ids[:5])
        index.extend(ids[5:])
        found = index.continuation(6)
        assert (found.tokens, found.match) == slow_continuation(ids, 6)


def test_an_n_gram_model_goes_on_as_its_text_does_and_never_into_another_document():
    model = NgramModel.of_documents([[1, 2, 3, 4, 5], [9, 2, 3, 7]], 20)
    assert model.continuation([1, 2, 3], 5).tokens == [4, 5]
    assert model.continuation([1, 2, 3], 5).match == 3
    assert model.continuation([9, 2, 3], 5).tokens == [7]
    assert model.continuation([2, 3], 1, np.array([7])).tokens == [7]
    assert model.continuation([8], 5).tokens == []


def test_drafts_grow_where_they_turn_out_right_and_vanish_where_they_do_not():
    rates = AcceptanceRates()
    for _ in range(100):
        rates.learn(3, accepted=0, drafted=4)
        rates.learn(9, accepted=8, drafted=8)
    assert rates.length(3) == 0
    assert rates.length(9) > 8
