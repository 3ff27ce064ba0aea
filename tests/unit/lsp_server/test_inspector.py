import pytest

from engine.api import CompletionRequest, Length
from lsp_server.completion.answer import Answer, Facts, Hidden, Ranked, Source
from lsp_server.completion.postprocess import Suggestion
from lsp_server.completion.snapshot import Snapshot
from lsp_server.inspector import Inspected, explain, prompt_text
from lsp_server.settings import Settings
from repo_context.snippet import Snippet

DEFAULTS = Settings()
SNIPPETS = tuple(
    Snippet(path=f"lib/part{number}.py", start_line=number, end_line=number + 20, text="\n".join(map(str, range(20))),
            comment="#", reason=f"defines part{number}", score=1.5 / (number + 1))
    for number in range(3)
)  # fmt: skip
PREFIX = "import os\n\n\ndef total(orders):\n    return "
REQUEST = CompletionRequest(
    document="file:///w/a.py", path="a.py", comment="#", prefix=PREFIX, suffix="\n", snippets=SNIPPETS, collection="/w",
    length=Length.LINE, max_tokens=48,
)  # fmt: skip
SNAPSHOT = Snapshot(
    uri="file:///w/a.py", version=1, language_id="python", path="a.py", root="/w", comment="#", prefix=PREFIX,
    suffix="\n",
)  # fmt: skip
FACTS = Facts(
    snippets=SNIPPETS, snippets_used=2, prompt_tokens=401, new_tokens=4, timings={"snippets": 3.125, "decode": 11.0}
)
SHOWN = Answer(
    reason="engine", source=Source.ENGINE, length=Length.LINE, needed=0.4, facts=FACTS,
    ranked=(Ranked(suggestion=Suggestion(text="sum(orders)", replaces=0), confidence=0.6249),),
    hidden=(Hidden(text="summ(orders)", reason="it calls what exists nowhere", confidence=0.5),),
)  # fmt: skip
HIDDEN = Answer(
    reason="too unsure", source=Source.ENGINE, length=Length.LINE, needed=0.4, facts=FACTS,
    hidden=(Hidden(text="\n".join(f"line {number}" for number in range(20)), reason="too unsure", confidence=0.1),),
)  # fmt: skip


def explained(answer: Answer, request: CompletionRequest | None = REQUEST, settings: Settings = DEFAULTS) -> dict:
    ids = tuple(f"id{number}" for number in range(len(answer.ranked)))
    inspected = Inspected(snapshot=SNAPSHOT, answer=answer, ids=ids, line=4, milliseconds=36.04)
    return explain(inspected, request, settings, {"entries": 12, "hits": 31, "misses": 14})


def test_every_figure_is_that_of_the_answer():
    why = explained(SHOWN)
    assert (why["line"], why["column"]) == (5, 12)
    assert why["suggestions"] == [{"id": "id0", "text": "sum(orders)", "confidence": 0.625}]
    assert why["hidden"] == [
        {"text": "summ(orders)", "reason": "it calls what exists nowhere", "confidence": 0.5}
    ]  # fmt: skip
    assert (why["promptTokens"], why["newTokens"], why["snippetsUsed"]) == (401, 4, 2)
    assert why["milliseconds"] == {"snippets": 3.12, "decode": 11.0, "total": 36.04}
    assert [(one["path"], one["startLine"], one["endLine"], one["score"]) for one in why["snippets"]] == [
        ("lib/part0.py", 1, 20, 1.5), ("lib/part1.py", 2, 21, 0.75), ("lib/part2.py", 3, 22, 0.5),
    ]  # fmt: skip


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """Nobody has chosen a model there."""
    monkeypatch.setenv("MIDFILL_HOME", str(tmp_path / "home"))


@pytest.mark.parametrize("answer", [SHOWN, HIDDEN])
def test_the_page_says_what_the_figures_say(answer: Answer):
    why = explained(answer)
    page = why["text"].splitlines()
    assert page[0] == ("# Why this suggestion" if why["shown"] else "# Why no suggestion")
    assert page[2].startswith(f"Line {why['line']}, column {why['column']}: ")
    for hop, value in why["milliseconds"].items():
        assert f"- {hop}: {value:.1f} ms" in page
    assert f"- {why['promptTokens']} tokens read, {why['newTokens']} written" in page
    assert "- cache: 12 texts, 31 hits, 14 misses" in page
    assert f"## Other files ({why['snippetsUsed']} of {len(why['snippets'])} snippets went into the prompt)" in page
    for snippet in why["snippets"]:
        title = f"{snippet['path']}:{snippet['startLine']}-{snippet['endLine']} ({snippet['reason']}):"
        assert title in page
    for hidden in why["hidden"]:
        assert f"Hidden, because: {hidden['reason']} ({100 * hidden['confidence']:.0f} % sure):" in page
    for shown in why["suggestions"]:
        assert page[page.index("Shown (62 % sure):") + 3] == shown["text"]


def test_a_long_text_is_cut_and_the_page_says_so():
    page = explained(HIDDEN)["text"]
    assert "line 11\n… 8 more lines\n" in page
    assert "line 12" not in page


def test_where_nothing_was_written_there_is_nothing_to_show_of_it():
    answer = Answer(
        reason="nothing was written", hidden=(Hidden(text=" \n", reason="nothing was written"),), facts=FACTS
    )
    page = explained(answer)["text"]
    assert "Line 5, column 12: nothing was written.\n" in page
    assert "Hidden" not in page


def test_what_the_model_was_sent_ends_with_what_stands_before_the_cursor():
    why = explained(SHOWN)
    assert why["prompt"].rstrip() == prompt_text(REQUEST, "built-in").rstrip()
    assert PREFIX.rstrip() in why["prompt"]
    assert "lib/part0.py" in why["prompt"]
    assert why["text"].index("## What the model was sent") < why["text"].index(why["prompt"])


def test_without_a_question_there_is_no_prompt_to_show():
    why = explained(SHOWN, request=None)
    assert why["prompt"] is None
    assert "What the model was sent" not in why["text"]


def test_the_prompt_of_a_server_of_completions_is_not_guessed():
    why = explained(SHOWN, settings=Settings(engine_url="http://127.0.0.1:8000/v1"))
    assert why["prompt"] is None


def test_without_the_models_tokenizer_there_is_no_prompt_to_show():
    assert prompt_text(REQUEST, "no/such-model") is None
