"""DeepSeek-Coder's six rules at their published bounds (section 2.1), and the options beside them."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repo_context.languages import language_of
from train.data.document import SourceDocument
from train.data.filter_rules import (
    RULES,
    alphabetic_share,
    apply_rules,
    average_line_length,
    data_size,
    empty,
    generated,
    maximum_line_length,
    vendored,
    visible_html,
    visible_text,
    xml_declaration,
)
from train.data.tally import Tally


def _document(text: str, path: str = "a.py") -> SourceDocument:
    language = language_of(path)
    name = language.name if language else "text"
    return SourceDocument(repository="r", path=path, language=name, comment="#", text=text)


BOUNDS = {
    "an average of exactly 100 stays": (average_line_length, "x" * 100 + "\n" + "y" * 100, True),
    "an average above 100 goes": (average_line_length, "x" * 100 + "\n" + "y" * 101, False),
    "a line of exactly 1000 stays": (maximum_line_length, "x" * 1000, True),
    "a line of 1001 goes": (maximum_line_length, "ok\n" + "x" * 1001, False),
    "a line of 1001 in the middle goes": (maximum_line_length, "a\n" * 700 + "x" * 1001 + "\nb\n" * 9, False),
    "lines of 1000 one after the other stay": (maximum_line_length, ("x" * 1000 + "\n") * 5, True),
    "exactly 25 % letters stays": (alphabetic_share, "a123", True),
    "fewer than 25 % letters goes": (alphabetic_share, "a1234", False),
    "letters of any script count": (alphabetic_share, "変数 = 1 ", True),
    "nothing but white space goes": (empty, " \n\t\n", False),
    "a single letter stays": (empty, "\nx", True),
}


@pytest.mark.parametrize("case", BOUNDS)
def test_bounds_are_inclusive_as_published(case: str) -> None:
    rule, text, kept = BOUNDS[case]
    assert (rule(_document(text)) is None) == kept


def _page(visible: int, total: int) -> str:
    shell = "<html><body><p></p></body></html>"
    page = shell.replace("<p></p>", f"<p>{'x' * visible}</p>")
    filler = total - len(page) - len("<!---->")
    return page.replace("<body>", f"<body><!--{'c' * filler}-->")


BY_LANGUAGE = {
    "an XML declaration goes": (xml_declaration, '<?xml version="1.0"?><a/>', "a.py", False),
    "one that ends within 100 characters goes": (xml_declaration, " " * 86 + "<?xml version=", "a.cfg", False),
    "one that ends behind them stays": (xml_declaration, " " * 87 + "<?xml version=", "a.cfg", True),
    "XSLT stays": (xml_declaration, '<?xml version="1.0"?><xsl:stylesheet/>', "a.xsl", True),
    "XSLT stays by its other ending": (xml_declaration, '<?xml version="1.0"?>', "A.XSLT", True),
    "100 characters and 20 % visible stay": (visible_html, _page(100, 500), "a.html", True),
    "99 visible characters go": (visible_html, _page(99, 300), "a.html", False),
    "less than 20 % visible goes": (visible_html, _page(100, 501), "a.html", False),
    "only HTML is judged as a page": (visible_html, "<p></p>", "a.md", True),
    "49 characters of JSON go": (data_size, "[" + "1" * 47 + "]", "a.json", False),
    "50 characters of JSON stay": (data_size, "[" + "1" * 48 + "]", "a.json", True),
    "5000 characters of YAML stay": (data_size, "a" * 5000, "a.yml", True),
    "5001 characters of YAML go": (data_size, "a" * 5001, "a.yaml", False),
    "other languages have any size": (data_size, "a", "a.toml", True),
}


@pytest.mark.parametrize("case", BY_LANGUAGE)
def test_bounds_of_rules_on_single_languages(case: str) -> None:
    rule, text, path, kept = BY_LANGUAGE[case]
    assert (rule(_document(text, path)) is None) == kept


def test_the_paper_has_six_rules() -> None:
    assert len([rule for rule in RULES if rule is not empty]) == 6


@given(st.text(alphabet=st.sampled_from("ab1 \n\r=é変٣"), max_size=80), st.integers(0, 30))
@settings(deadline=None)
def test_fast_rules_agree_with_their_plain_definitions(text: str, repeat: int) -> None:
    document = _document(text * repeat)
    lines = document.text.split("\n")
    assert (average_line_length(document) is None) == (sum(map(len, lines)) <= 100 * len(lines))
    assert (maximum_line_length(document) is None) == (max(map(len, lines)) <= 1000)
    letters = sum(character.isalpha() for character in document.text)
    assert (alphabetic_share(document) is None) == (letters >= 0.25 * len(document.text))


def test_the_longest_line_is_found_wherever_it_lies() -> None:
    chance = random.Random(3)
    for _ in range(300):
        lines = ["x" * chance.choice((0, 5, 400, 999, 1000)) for _ in range(chance.randint(0, 8))]
        long = chance.random() < 0.5
        if long:
            lines.insert(chance.randint(0, len(lines)), "y" * chance.randint(1001, 2500))
        assert (maximum_line_length(_document("\n".join(lines))) is not None) == long


PAGES = {
    "<p>a  b\n c</p>": "a b c",
    "<head><title>t</title></head><body>x</body>": "x",
    "<script>var a = 1</script>x<style>p{}</style>": "x",
    "<!-- no -->&amp;&nbsp;x": "& x",
    "<p>open <b>bold": "open bold",
    "<head><p>no body tag": "no body tag",
    "{% if a %}<p>template</p>": "{% if a %} template",
}


@pytest.mark.parametrize("page", PAGES)
def test_visible_text_is_what_a_page_shows(page: str) -> None:
    assert visible_text(page) == PAGES[page]


@pytest.mark.parametrize("page", ["x<![weird>", "x<![", "x<!x [", "x<![if", "x<!DOCTYPE [<!a", "x<?", "x</"])
def test_malformed_markup_does_not_stop_the_rule(page: str) -> None:
    assert visible_text(page).startswith("x")


GENERATED = {
    "api_pb2.py": "x = 1\n",
    "jquery.min.js": "x\n",
    "a.py": "# Code generated by protoc. DO NOT EDIT.\n",
    "b.go": "// @generated\npackage a\n",
    "c.py": '"""This file is automatically generated."""\n',
}
WRITTEN = {
    "a.py": "def generate():\n    return 'generated'\n",
    "b.py": "x = 1\n" * 20 + "# DO NOT EDIT: generated\n",
    "min.js": "let a = 1\n",
}


@pytest.mark.parametrize("path", GENERATED)
def test_generated_files_are_told_by_name_or_head(path: str) -> None:
    assert generated(_document(GENERATED[path], path)) is not None


@pytest.mark.parametrize("path", WRITTEN)
def test_files_that_people_wrote_are_not_taken_for_generated(path: str) -> None:
    assert generated(_document(WRITTEN[path], path)) is None


@pytest.mark.parametrize("path", ["vendor/x.go", "src/third_party/a.c", "a/node_modules/b.js", "lib/_vendor/six.py"])
def test_vendored_files_are_told_by_their_folder(path: str) -> None:
    assert vendored(_document("x", path)) == "vendored"
    assert vendored(_document("x", "src/vendors.py")) is None


def test_every_drop_is_counted_once_with_its_first_reason() -> None:
    documents = [
        _document(text, f"{i}.py") for i, text in enumerate(("def f(): pass\n", " ", "x" * 1001, "1234567890"))
    ]
    tally = Tally()
    assert list(apply_rules(documents, tally)) == documents[:1]
    assert tally.reasons() == {
        "empty": 1,
        "average line longer than 100 characters": 1,
        "fewer than 25 % alphabetic characters": 1,
    }
    assert tally.kept == {("filter rules", "python"): 1}
    assert [example.path for example in tally.examples["filter rules", "empty"]] == ["1.py"]


def test_tallies_of_parts_add_up_to_the_tally_of_the_whole() -> None:
    documents = [_document("1" * (5 + i), f"{i}.py") for i in range(40)]
    whole, parts = Tally(), Tally()
    list(apply_rules(documents, whole))
    for start in (20, 0):
        part = Tally()
        list(apply_rules(documents[start : start + 20], part))
        parts.add(Tally.from_json(part.to_json()))
    assert parts.to_json() == whole.to_json()
