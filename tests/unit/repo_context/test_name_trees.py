import doctest

import pytest

from repo_context import name_trees
from repo_context.name_trees import flatten


def shown(statement):
    parts = []
    for leaf in flatten(statement):
        text = leaf.module + (f" [{leaf.name}]" if leaf.name else "") + (f" as {leaf.alias}" if leaf.alias else "")
        parts.append(text + (" *" if leaf.wildcard else ""))
    return parts


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("a::b::C", ["a::b [C]"]),
        ("a::{b::{c, d as e}, f::*, self}", ["a::b [c]", "a::b [d] as e", "a::f *", "a"]),
        ("serde", ["serde"]),
        ("::a::b", ["a [b]"]),
        ("a::b as _", ["a [b] as _"]),
        ("{a::b, c}", ["a [b]", "c"]),
        ("crate::r#type::X", ["crate::type [X]"]),
        ("import a.b.C", ["a.b [C]"]),
        ("import a.b.*", ["a.b *"]),
        ("import a.b.f as g", ["a.b [f] as g"]),
        ("import java.util.function.Function", ["java.util.function [Function]"]),
        ("import a.{B => C, D => _, _}", ["a [B] as C", "a *"]),
        ("import a.b, c.d.*, e.{given, f}", ["a [b]", "c.d *", "e *", "e [f]"]),
        ("import a.`type`.B", ["a.type [B]"]),
        ("use A\\B\\C;", ["A\\B [C]"]),
        ("use function A\\f;", ["A [f]"]),
        ("use A\\{B, C\\D as E};", ["A [B]", "A\\C [D] as E"]),
        ("use \\A\\B, C\\D;", ["A [B]", "C [D]"]),
        ("import a.{ // why\n b, /* not\n c, */ d }", ["a [b]", "a [d]"]),
        ("", []),
        ("}}}{{{,,,", []),
        ("a::{", []),
    ],
)
def test_a_statement_is_taken_apart(statement, expected):
    assert shown(statement) == expected


def test_nesting_without_end_is_left_unread():
    assert list(flatten("a::{" * 10_000)) == []


def test_examples_in_docstrings_hold():
    assert doctest.testmod(name_trees) == (0, 1)
