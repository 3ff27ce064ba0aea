import pytest
from tree_sitter import Parser

from lsp_server.completion import syntax_window
from lsp_server.completion.snapshot import Snapshot
from lsp_server.completion.syntax_window import SyntaxWindow
from repo_context.languages import language_of, load_grammar

TYPED = {
    "a.py": ("def f(x):\n    '''é'''\n    ", "total = sum(x)\n    return [total", "\n\n\nclass A:\n    pass\n"),
    "a.ts": ("function f(x: number[]) {\n  ", "const total = x.map((y) => `${y}`);\n  return {total", "\n}\n"),
    "a.go": ("package a\n\nfunc f() int {\n\t", "total := 1 // ü\n\treturn total +", "\n}\n"),
    "a.rs": ("fn f() -> i32 {\n    ", "let total = vec![1, 2];\n    total.iter().sum(", "\n}\n"),
}


def window(path: str, above: str, below: str) -> SyntaxWindow:
    found = SyntaxWindow.around(
        Snapshot(uri="u", version=1, language_id="", path=path, root=None, comment="#", prefix=above, suffix=below)
    )
    assert found is not None
    return found


@pytest.mark.parametrize("path", TYPED)
def test_every_key_gives_the_tree_that_the_text_parsed_anew_gives(path):
    above, typed, below = TYPED[path]
    grammar = language_of(path).grammar
    anew = Parser(load_grammar(grammar))
    steps = [typed[:count] for count in range(len(typed) + 1)]
    for step in (*steps, *reversed(steps)):
        text = above + step + below
        kept = syntax_window._parse(grammar, text)
        assert str(kept.root_node) == str(anew.parse(text.encode()).root_node)


@pytest.mark.parametrize("path", TYPED)
def test_what_is_said_of_a_text_does_not_depend_on_what_was_asked_before(path):
    above, typed, below = TYPED[path]
    said = {}
    for order in (range(len(typed)), reversed(range(len(typed)))):
        syntax_window._parse.cache_clear()
        for count in order:
            one = window(path, above + typed[:count], below)
            verdict = one.adds_error(typed[count:], 0), one.adds_error(")", 0), one.place()
            assert said.setdefault(count, verdict) == verdict


def test_a_language_without_a_grammar_has_no_window():
    snapshot = Snapshot(
        uri="u", version=1, language_id="", path="a.unknown", root=None, comment="#", prefix="x", suffix=""
    )
    assert SyntaxWindow.around(snapshot) is None
