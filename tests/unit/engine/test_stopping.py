import pytest

from engine.api import FinishReason, Length
from engine.decoding.stopping import stop_for


def run(length, prefix, generated, suffix="\n", size=1):
    """Push `generated` in pieces; return what was shown, why it ended, and what flush gives."""
    stop = stop_for(length, prefix=prefix, suffix=suffix)
    shown = ""
    for start in range(0, len(generated), size):
        text, reason = stop.push(generated[start : start + size])
        shown += text
        if reason is not None:
            return shown, reason, ""
    return shown, None, stop.flush()


@pytest.mark.parametrize("size", [1, 3, 100])
@pytest.mark.parametrize(
    ("generated", "shown", "reason"),
    [
        ("return x\n", "return x", FinishReason.LINE_END),
        ("return x\r\n", "return x", FinishReason.LINE_END),
        ("\n    return", "", FinishReason.LINE_END),
        ("return x  ", "return x  ", None),
    ],
)
def test_a_line_ends_before_its_line_end(size, generated, shown, reason):
    assert run(Length.LINE, "    ", generated, size=size)[:2] == (shown, reason)


BLOCKS = {
    "a body ends where its header's indentation comes back": (
        "def f():",
        "\n    a = 1\n\n    return a\n\ndef g",
        "\n    a = 1\n\n    return a",
    ),
    "a bracket's closing line belongs to it": (
        "x = {",
        "\n    1: 2,\n}\ny = 3",
        "\n    1: 2,\n}",
    ),
    "a closing line that opens again goes on": (
        "if (a) {",
        "\n  b();\n} else {\n  c();\n}\nd();",
        "\n  b();\n} else {\n  c();\n}",
    ),
    "a body ends where it is indented less": (
        "    a = 1",
        "\n    b = 2\n    if b:\n        c()\nd()",
        "\n    b = 2\n    if b:\n        c()",
    ),
    "a paragraph ends at a blank line": ("a = 1", "\nb = 2\n\nc = 3", "\nb = 2"),
    "two blank lines end anything": ("def f():", "\n    a = 1\n\n\n    b = 2", "\n    a = 1"),
    "on a blank line the first line written sets the indentation": (
        "def f():\n",
        "    a = 1\n    b = 2\nc = 3",
        "    a = 1\n    b = 2",
    ),
    "blank lines before the first are not the end": ("def f():\n", "\n    a = 1\nb", "\n    a = 1"),
    "tabs are columns": ("\tif a {", "\n\t\tb()\n\t}\n\tc()", "\n\t\tb()\n\t}"),
    "carriage returns are kept": ("def f():", "\r\n    a = 1\r\nb", "\r\n    a = 1"),
}


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
@pytest.mark.parametrize("case", BLOCKS, ids=str)
def test_a_block(case, size):
    prefix, generated, expected = BLOCKS[case]
    assert run(Length.BLOCK, prefix, generated, size=size)[:2] == (expected, FinishReason.BLOCK_END)


@pytest.mark.parametrize("size", [1, 1000])
def test_the_last_line_end_stays_where_text_stands_behind_the_cursor(size):
    shown, reason, _ = run(Length.BLOCK, "def f():\n    ", "a = 1\nb", suffix="return a\n", size=size)
    assert (shown, reason) == ("a = 1\n", FinishReason.BLOCK_END)


def test_what_was_held_back_comes_when_the_tokens_end():
    shown, reason, held = run(Length.BLOCK, "def f():", "\n    a = 1\n")
    assert (shown, reason, held) == ("\n    a = 1", None, "\n")


@pytest.mark.parametrize("length", Length)
def test_text_without_an_end_is_shown_whole(length):
    shown, reason, held = run(length, "x = ", "foo(a, b)", suffix="")
    assert (shown, reason, held) == ("foo(a, b)", None, "")
