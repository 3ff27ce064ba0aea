import tomllib
from pathlib import Path

import pytest

from repo_context import syntax
from repo_context.errors import ParseAbandonedError
from repo_context.languages import PARSED_LANGUAGES, language_named

GOLDEN = Path(__file__).parents[2] / "golden" / "repo_context" / "syntax.toml"
CASES = tomllib.loads(GOLDEN.read_text(encoding="utf-8"))["case"]


def parse(source, language):
    return syntax.parse(source, language_named(language).grammar)


def shown_definition(item):
    owner = f"{item.parent}." if item.parent else ""
    return f"{item.kind} {owner}{item.name} @{item.start_line}-{item.end_line} | {item.signature}"


def shown_import(item):
    names = [name.name if name.name == name.alias else f"{name.name} as {name.alias}" for name in item.names]
    text = item.module
    text += f" [{', '.join(names)}]" if names else ""
    text += f" as {item.alias}" if item.alias else ""
    return text + (" *" if item.wildcard else "")


def test_every_parsed_language_has_a_golden_case():
    assert {case["language"] for case in CASES} == {language.name for language in PARSED_LANGUAGES}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["language"])
def test_a_file_yields_its_definitions_imports_and_references(case):
    found = parse(case["source"], case["language"])
    assert [shown_definition(item) for item in found.definitions] == case["definitions"]
    assert [shown_import(item) for item in found.imports] == case["imports"]
    assert sorted(found.references) == case["references"]
    assert list(found.packages) == case.get("packages", [])


@pytest.mark.parametrize(
    ("language", "source", "packages"),
    [
        ("csharp", "namespace A.B { namespace C { class D {} } } namespace E { class F {} }", ("A.B", "A.B.C", "E")),
        ("csharp", "namespace A.B;\nclass C {}", ("A.B",)),
        ("scala", "package a.b\npackage c\nclass D", ("a.b.c",)),
        ("scala", "package a { class B }\npackage c { class D }", ("a", "c")),
        ("php", "<?php namespace A\\B { class C {} } namespace D { class E {} }", ("A\\B", "D")),
        ("kotlin", "package a.b\nclass C", ("a.b",)),
        ("java", "package a;\nclass C {}", ("a",)),
        ("java", "class C {}", ()),
    ],
)
def test_packages_are_told_with_those_around_them(language, source, packages):
    assert parse(source, language).packages == packages


@pytest.mark.parametrize(
    ("language", "source"),
    [
        ("rust", "mod t { use super::a::B; use crate::c; }"),
        ("rust", "mod t { use crate::c; use super::a::B; }"),
    ],
)
def test_uses_inside_an_inline_module_start_from_it(language, source):
    assert {shown_import(item) for item in parse(source, language).imports} == {"self::t::super::a [B]", "crate [c]"}


def test_two_names_of_one_declaration_stand_side_by_side():
    found = parse("class A { int b, c; }", "java")
    assert [(item.name, item.parent) for item in found.definitions] == [("A", ""), ("b", "A"), ("c", "A")]


@pytest.mark.parametrize(
    ("language", "class_", "method"),
    [("java", "class C{} {{", "int m{}() {{ return 1; }}"), ("python", "class C{}:", "def m{}(self): pass")],
)
def test_definitions_in_classes_are_found_however_deep_they_lie(language, class_, method):
    depth, lines = 30, []
    for level in range(depth):
        lines += ["  " * level + class_.format(level), "  " * (level + 1) + method.format(level)]
    source = "\n".join([*lines, "}" * depth if language == "java" else ""])
    found = [(item.name, item.parent) for item in parse(source, language).definitions]
    assert found[1::2] == [(f"m{level}", f"C{level}") for level in range(depth)]
    assert found[2::2] == [(f"C{level + 1}", f"C{level}") for level in range(depth - 1)]


def test_imports_and_functions_inside_functions_are_found_in_python():
    source = "def f():\n  if a:\n    for b in c:\n      with d:\n        from e import (\n          g)\n"
    found = parse(source + "        async def h(): import i  # comment\n", "python")
    assert [shown_import(item) for item in found.imports] == ["e [g]", "i"]
    assert [(item.name, item.parent) for item in found.definitions] == [("f", ""), ("h", "f")]


@pytest.mark.parametrize("language", PARSED_LANGUAGES, ids=lambda language: language.name)
@pytest.mark.parametrize(
    "source",
    ["", "\n\n", "(((((", "}}}}", '"unterminated', "\x00\x01", "def f(:\n  class\n", "é = 'ß' # 🌲\n" * 3, "\ud800"],
)
def test_any_text_parses_without_an_error(source, language):
    syntax.parse(source, language.grammar)


def test_names_that_are_not_ascii_keep_their_letters():
    found = parse("class Größe:\n    def mäße(self): pass\n", "python")
    assert [item.name for item in found.definitions] == ["Größe", "mäße"]


def test_a_definition_after_others_on_its_line_has_a_signature_of_its_own():
    found = parse("class A { int f() { return 1; } int g(int x) { return x; } }", "java")
    assert [item.signature for item in found.definitions] == ["class A", "int f()", "int g(int x)"]


def test_a_long_signature_is_cut_after_a_parameter():
    parameters = ", ".join(f"parameter_{number}: int" for number in range(60))
    signature = parse(f"def f({parameters}): pass\n", "python").definitions[0].signature
    assert len(signature) <= syntax.MAX_SIGNATURE
    assert signature.endswith(", ...")


def test_a_parse_that_takes_too_long_is_given_up(monkeypatch):
    monkeypatch.setattr(syntax, "MAX_PARSE_SECONDS", 0.0)
    with pytest.raises(ParseAbandonedError, match="more than 0 s"):
        parse("x = [1, 2, 3]\n" * 20_000, "python")
    monkeypatch.undo()
    assert parse("def f(): pass", "python").definitions


def test_deep_nesting_parses():
    depth = 5_000
    found = parse("\n".join("(" * 1 for _ in range(depth)) + "x" + ")" * depth, "python")
    assert max(end - start for start, end in found.chunks) <= 12
