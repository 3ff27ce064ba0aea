"""What is shown of several candidates; log-probabilities are made up so that the rules show."""

import pytest

from engine.api import Length
from lsp_server.completion.answer import Facts, Source
from lsp_server.completion.candidate import Candidate, TokenScore
from lsp_server.completion.confidence import calibration, confidence, cuts, first_line_end
from lsp_server.completion.judgement import judge
from lsp_server.completion.rejections import ENOUGH, Rejections
from lsp_server.completion.snapshot import Snapshot, Trigger
from lsp_server.settings import Assertiveness


def at(text: str, trigger: Trigger = Trigger.AUTOMATIC) -> Snapshot:
    prefix, suffix = text.split("‸")
    return Snapshot(
        uri="file:///a.py", version=1, language_id="python", path="a.py", root=None, comment="#", prefix=prefix,
        suffix=suffix, trigger=trigger,
    )  # fmt: skip


def scored(*tokens: tuple[str, float], unknown: frozenset[str] = frozenset()) -> Candidate:
    text, scores = "", []
    for piece, log_probability in tokens:
        text += piece
        scores.append(TokenScore(end=len(text), log_probability=log_probability))
    return Candidate(text=text, scores=tuple(scores), unknown_names=unknown)


def judged(*candidates: Candidate, snapshot: Snapshot, rejections=None, **changes):
    values = {
        "assertiveness": Assertiveness.DEFAULT, "rejections": rejections or Rejections(), "source": Source.ENGINE,
        "facts": Facts(),
    }  # fmt: skip
    return judge(candidates, snapshot, Length.LINE, **(values | changes))


SURE = scored(("total", -0.01), ("(", -0.01), ("values", -0.01), (")", -0.01))
UNSURE = scored(("whatever", -4.0), ("(", -2.0), ("thing", -4.0), (")", -1.0))
SURE_THEN_UNSURE = scored(("total", -0.01), ("(", -0.01), ("something", -6.0), (")", -0.1))


def test_a_sure_text_is_shown_whole():
    answer = judged(SURE, snapshot=at("x = ‸\n"))
    assert answer.suggestion.text == "total(values)"
    assert answer.ranked[0].confidence >= answer.needed


def test_an_unsure_text_is_hidden_with_its_confidence():
    answer = judged(UNSURE, snapshot=at("x = ‸\n"))
    assert answer.suggestion is None
    [hidden] = answer.hidden
    assert hidden.reason == answer.reason == "too unsure"
    assert hidden.confidence < answer.needed


def test_a_text_that_becomes_unsure_is_shown_up_to_there():
    assert judged(SURE_THEN_UNSURE, snapshot=at("x = ‸\n")).suggestion.text == "total("


def test_the_beginning_of_a_line_need_not_parse():
    line = scored(("from", -0.01), (" celery", -0.01), (" import", -0.01), (" wrong", -6.0))
    assert judged(line, snapshot=at("‸\nimport os\n")).suggestion.text == "from celery import"


def test_eager_shows_what_default_hides():
    likely = scored(("total", -0.5), ("(", -0.5), ("values", -0.5))
    texts = {}
    for mode in Assertiveness:
        suggestion = judged(likely, snapshot=at("x = ‸\n"), assertiveness=mode).suggestion
        texts[mode] = suggestion.text if suggestion else ""
    assert len(texts[Assertiveness.CALM]) < len(texts[Assertiveness.EAGER])


def test_an_explicit_request_is_answered_however_unsure():
    answer = judged(UNSURE, snapshot=at("x = ‸\n", Trigger.INVOKED))
    assert answer.suggestion.text == "whatever(thing)"


def test_an_explicit_request_gets_several_the_surest_first():
    answer = judged(UNSURE, SURE, SURE, snapshot=at("x = ‸\n", Trigger.INVOKED))
    assert [one.suggestion.text for one in answer.ranked] == ["total(values)", "whatever(thing)"]


def test_an_explicit_request_gets_doubtful_ones_last():
    doubtful = scored(("totl", -0.01), ("(", -0.01), ("values", -0.01), (")", -0.01), unknown=frozenset({"totl"}))
    answer = judged(doubtful, UNSURE, snapshot=at("x = ‸\n", Trigger.INVOKED))
    assert [one.suggestion.text for one in answer.ranked] == ["whatever(thing)", "totl(values)"]


def test_an_unasked_request_gets_one():
    assert len(judged(SURE, SURE_THEN_UNSURE, snapshot=at("x = ‸\n")).ranked) == 1


def test_what_is_on_the_screen_stays_while_it_is_typed():
    assert judged(UNSURE, snapshot=at("x = ‸\n"), on_screen=len(UNSURE.text)).suggestion.text == "whatever(thing)"


def test_what_was_dismissed_three_times_is_not_shown_unasked_again():
    rejections = Rejections()
    for number in range(ENOUGH):
        assert judged(SURE, snapshot=at("x = ‸\n"), rejections=rejections).suggestion, number
        # The same line, wherever in it the user stood.
        rejections.note(at("x = " + "total"[:number] + "‸\n"), "total(values)"[number:])
    assert judged(SURE, snapshot=at("x = ‸\n"), rejections=rejections).suggestion is None
    assert judged(SURE, snapshot=at("x = ‸\n", Trigger.INVOKED), rejections=rejections).suggestion
    rejections.forgive(at("x = ‸\n"), "total(values)")
    assert judged(SURE, snapshot=at("x = ‸\n"), rejections=rejections).suggestion


def test_a_text_without_log_probabilities_is_shown():
    assert judged(Candidate(text="total(values)"), snapshot=at("x = ‸\n")).suggestion.text == "total(values)"


def test_calmer_needs_more():
    needed = calibration().needed
    assert needed[Assertiveness.CALM] > needed[Assertiveness.DEFAULT] > needed[Assertiveness.EAGER] > 0


def test_cuts_fall_between_words_of_the_first_line_the_longest_first():
    text = scored(("self", -0.1), (".na", -0.1), ("me(", -0.1), ("a)\n", -0.1), ("b", -0.1))
    assert cuts(text) == [len(text.text), len("self.name("), len("self")]


def test_typing_on_leaves_only_what_is_not_yet_typed_to_doubt():
    snapshot, typed = at("x = ‸\n"), SURE_THEN_UNSURE.after(len("total("))
    assert confidence(typed, len(typed.text), snapshot) > 0
    assert len(typed.scores) == 2


@pytest.mark.parametrize(("text", "end"), [("a\nb", 1), ("\n    a\nb", 6), ("a", 1), ("", 0)])
def test_the_first_line_is_the_first_that_says_something(text, end):
    assert first_line_end(text) == end
