"""From an instruct model's answer to lines of a file."""

import pytest

from lsp_server.verbs.ask import _changed, reindented, replacement

ANSWERS = {
    "a fenced block": ("Sure:\n```python\nx = 1\n```\nDone.", "x = 1\n"),
    "the first of two": ("```\na\n```\n```\nb\n```\n", "a\n"),
    "tildes": ("~~~\nx\n~~~", "x\n"),
    "a longer fence around another": ("````md\n```\nx\n```\n````", "```\nx\n```\n"),
    "a fence never closed": ("```python\nx = 1\n", "x = 1\n"),
    "no fence": ("\nx = 1\n", "x = 1\n"),
    "nothing": ("```\n```", ""),
}


@pytest.mark.parametrize("case", ANSWERS)
def test_the_code_of_an_answer_is_its_first_block(case: str) -> None:
    answer, code = ANSWERS[case]
    assert replacement(answer) == code


@pytest.mark.parametrize(
    ("code", "like", "expected"),
    [
        ("if a:\n    b()\n", "    c()\n", "    if a:\n        b()\n"),
        ("        a\n\n        b\n", "\tx\n", "\ta\n\n\tb\n"),
        ("    a\nb\n", "x\n", "    a\nb\n"),
        ("", "    x\n", ""),
    ],
)
def test_a_block_moves_to_where_the_lines_stood(code: str, like: str, expected: str) -> None:
    assert reindented(code, like) == expected


@pytest.mark.parametrize(
    ("lines", "answer", "expected"),
    [
        (["a\n", "b\n", "c\n"], "```\nx\ny\n```", "a\nx\ny\nc\n"),
        (["a\r\n", "b\r\n", "c\r\n"], "```\nx\ny\n```", "a\r\nx\r\ny\r\nc\r\n"),
        (["a\n", "b"], "```\nx\n```", "a\nx"),
    ],
)
def test_line_ends_stay_what_they_were(lines: list[str], answer: str, expected: str) -> None:
    assert _changed(lines, 2, 2, answer) == expected
