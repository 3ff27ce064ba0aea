import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.api import Length
from lsp_server.completion.answer import Facts
from lsp_server.completion.candidate import Candidate
from lsp_server.completion.prefix_trie import PrefixTrie
from lsp_server.completion.snapshot import Snapshot
from lsp_server.completion.suggestion_cache import CAPACITY, SuggestionCache


def at(prefix: str, suffix: str = "\n", uri: str = "file:///a.py") -> Snapshot:
    return Snapshot(
        uri=uri, version=1, language_id="python", path="a.py", root=None, comment="#", prefix=prefix, suffix=suffix
    )


def kept(cache: SuggestionCache, snapshot: Snapshot, text: str, length: Length = Length.LINE) -> None:
    cache.put(snapshot, length, (Candidate(text=text),), facts=Facts())


def found(cache: SuggestionCache, snapshot: Snapshot, length: Length = Length.LINE) -> str | None:
    outcome = cache.find(snapshot, length)
    return outcome.candidates[0].text if outcome else None


WORDS = st.text("ab", max_size=5)


@given(entries=st.lists(st.tuples(WORDS, st.integers(0, 9)), max_size=20), text=WORDS)
def test_a_trie_finds_what_looking_at_every_key_finds(entries, text):
    trie = PrefixTrie()
    for key, value in entries:
        trie.add(key, value)
    plain = sorted((entry for entry in entries if text.startswith(entry[0])), key=lambda entry: len(entry[0]))
    assert list(trie.along(text)) == [value for _, value in plain]


@given(entries=st.lists(st.tuples(WORDS, st.integers(0, 3)), max_size=20), text=WORDS)
def test_a_removed_value_is_gone_and_no_other(entries, text):
    trie = PrefixTrie()
    for key, value in entries:
        trie.add(key, value)
    for key, value in entries[::2]:
        trie.remove(key, value)
    left = list(entries)
    for entry in entries[::2]:
        left.remove(entry)
    assert sorted(trie.along(text)) == sorted(value for key, value in left if text.startswith(key))


def slow_reference(entries: list[tuple[str, str]], prefix: str) -> str | None:
    """The newest of the longest prefixes whose text goes on with what was typed."""
    fitting = [entry for entry in entries if "".join(entry).startswith(prefix) and prefix.startswith(entry[0])]
    fitting = [(before, text) for before, text in fitting if len(prefix) - len(before) < len(text)]
    if not fitting:
        return None
    longest = max(len(before) for before, _ in fitting)
    before, text = [entry for entry in fitting if len(entry[0]) == longest][-1]
    return text[len(prefix) - len(before) :]


@given(
    entries=st.lists(st.tuples(st.text("fo(", max_size=4), st.text("fo(", min_size=1, max_size=4)), max_size=8),
    prefix=st.text("fo(", max_size=6),
)
def test_a_cache_finds_what_looking_at_every_text_finds(entries, prefix):
    cache = SuggestionCache()
    for before, text in entries:
        kept(cache, at(before), text)
    assert found(cache, at(prefix)) == slow_reference(entries, prefix)


def test_hundreds_of_texts_are_kept_and_the_least_recently_used_go_first():
    cache = SuggestionCache()
    for number in range(CAPACITY + 1):
        kept(cache, at(f"x{number} = "), "value")
        found(cache, at("x0 = "))
    assert CAPACITY >= 250
    assert len(cache) == CAPACITY
    assert found(cache, at("x0 = ")) == "value"
    assert found(cache, at("x1 = ")) is None


def test_a_forgotten_document_and_no_other_is_gone():
    cache = SuggestionCache()
    kept(cache, at("x = "), "one")
    kept(cache, at("x = ", uri="file:///b.py"), "two")
    cache.forget("file:///a.py")
    assert found(cache, at("x = ")) is None
    assert found(cache, at("x = ", uri="file:///b.py")) == "two"


def test_when_the_engine_has_learned_only_what_was_on_the_screen_stays():
    cache = SuggestionCache()
    kept(cache, at("a = "), "seen()")
    kept(cache, at("b = "), "hidden()")
    outcome = cache.find(at("a = "), Length.LINE)
    assert outcome is not None
    outcome.entry.shown_to = 3
    cache.forget_unshown()
    assert found(cache, at("a = ")) == "seen()"
    assert found(cache, at("b = ")) is None


def test_one_text_does_not_answer_a_request_for_several():
    cache = SuggestionCache()
    kept(cache, at("x = "), "one")
    assert cache.find(at("x = "), Length.LINE, wide=True) is None


def test_an_empty_text_is_an_answer_at_its_own_place_alone():
    cache = SuggestionCache()
    kept(cache, at("x = "), "")
    assert found(cache, at("x = ")) == ""
    assert found(cache, at("x = f")) is None


@pytest.mark.parametrize("text", ["one", "two"])
def test_of_several_texts_those_that_begin_as_typed_are_left(text):
    cache = SuggestionCache()
    cache.put(at("x = "), Length.LINE, (Candidate(text="one"), Candidate(text="two")), facts=Facts(), wide=True)
    assert found(cache, at(f"x = {text[0]}")) == text[1:]
