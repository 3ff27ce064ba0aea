import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repo_context import cursor_text
from repo_context.cursor_text import CursorText
from repo_context.snippet import Cursor


def read(prefix, path="a.py"):
    return CursorText(Cursor(path=path, prefix=prefix, suffix=""))


@pytest.mark.parametrize(
    ("path", "prefix", "expected"),
    [
        ("a.py", "a.b.c", ("a", "b")),
        ("a.py", "x = shop.cart(1, (2)).items[0].na", ("shop", "cart", "items")),
        ("a.ts", "a?.b!.", ("a", "b")),
        ("a.cpp", "node->next->", ("node", "next")),
        ("a.py", "a b", ()),
    ],
)
def test_the_receiver_is_what_dots_join_before_the_cursor(path, prefix, expected):
    assert read(prefix, path).receiver == expected


@pytest.mark.parametrize(
    ("path", "text", "name", "expected"),
    [
        ("a.py", "def f(x: Optional[Cart], y: dict[str, Item]):\n", "x", "Optional[Cart]"),
        ("a.py", "def f(x: Optional[Cart], y: dict[str, Item]):\n", "y", "dict[str, Item]"),
        ("a.ts", "const f = (cart?: Cart | null) => {\n", "cart", "Cart | null"),
        ("a.rs", "fn f(cart: &mut Arc<Cart>) {\n", "cart", "Arc<Cart>"),
        ("A.java", "Map<String, Cart> carts = null;\n", "carts", "Map<String, Cart>"),
        ("a.kt", "fun f(cart: Cart) {\n", "cart", "Cart"),
        ("a.go", "func f(cart *shop.Cart) {\n", "cart", "shop.Cart"),
        ("a.py", "cart = Cart(1)\n", "cart", "Cart"),
    ],
)
def test_a_variables_type_is_read_as_it_is_written(path, text, name, expected):
    assert read(text, path).types[name] == expected


def test_what_follows_an_arrow_is_no_annotation():
    assert read("def f() -> None:\n    cart = 1\n").types == {}


@pytest.mark.parametrize(
    ("text", "name", "expected"),
    [
        ("const x = a.b(1).c;\n", "x", ("a", "b", "c")),
        ("x, err := a.Open(path)\n", "x", ("a", "Open")),
        ("for (const x of y.items()) {\n", "x", ("y", "items")),
        ("for x in y.items():\n", "x", ("y", "items")),
        ("for (Cart x : shop.carts()) {\n", "x", ("shop", "carts")),
        ("for _, x := range y.items {\n", "x", ("y", "items")),
        ("y.items.map((x) => x.name", "x", ("y", "items")),
        ("y.items().each(|x| x.name", "x", ("y", "items")),
        ("const { x, y: z } = this.shop;\n", "z", ("this", "shop", "y")),
        ("({ x }: Props) => {\n", "x", ("Props", "x")),
    ],
)
def test_a_variable_stands_for_the_chain_that_it_was_taken_from(text, name, expected):
    assert read(text).values[name] == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("f(", [("f", False)]),
        ("f({ a: 1, ", [("f", True)]),
        ("a.f(g(1), (2), 'x(')", []),
        ("outer(inner(1, ", [("inner", False), ("outer", False)]),
        ("<Shop cart={1} ", [("Shop", True)]),
        ("const c: Cart = { ", [("Cart", True)]),
        ("c := &shop.Cart{", [("shop.Cart", True)]),
        ("class A : Cart {\n", []),
        ("f(() => {\n", []),
        ("if (x) {\n", []),
    ],
)
def test_calls_tags_and_literals_that_are_open_are_found_innermost_first(text, expected):
    assert [(".".join(item.chain), item.in_literal) for item in read(text).enclosing] == expected


@pytest.mark.parametrize(
    ("path", "header", "expected"),
    [
        ("a.py", "class A(B, c.D[int], metaclass=M):\n", ["B", "c.D"]),
        ("a.py", "class A:\n", []),
        ("a.ts", "export class A<T> extends B<T> implements C {\n", ["B", "C"]),
        ("A.cs", "public record A(X x) : B<X>(x), IC {\n", ["B", "IC"]),
        ("a.kt", "data class A(val x: X) : B(x), C {\n", ["B", "C"]),
    ],
)
def test_the_bases_of_the_class_around_the_cursor(path, header, expected):
    assert read(header + "    ", path).bases == expected


SLOW_PATH = r"(?:[^\W\d]\w*(?:\?\.|!?\.|->|::))*[^\W\d]\w*"
SLOW = {
    "_ANNOTATED": rf"\b([^\W\d]\w*)\??[ \t]*:[ \t]*[&*]*(?:'\w+[ ])?(?:mut[ ]|dyn[ ])?[\"']?({cursor_text._TYPE})",
    "_CONSTRUCTED": (
        r"\b([^\W\d]\w*)\s*(?::\s*[\w.\[\]| ]+)?:?=\s*(?:await\s+)?(?:new\s+|&)?"
        r"((?:\w+(?:\.|::))*[A-Z]\w*)\s*[({<]"
    ),
    "_ENTERED": r"\bwith\s+((?:\w+\.)*[A-Z]\w*)\([^\n]*\)\s+as\s+(\w+)",
    "_DECLARED": r"\b((?:[A-Z]\w*\.)*[A-Z]\w*(?:<[^=;(){}\n]*>)?)(?:\[\])?[ \t*&]+([a-z_]\w*)\s*[=;,):]",
    "_ASSIGNED": (
        r"\b([^\W\d]\w*)(?:\s*,\s*\w+)?\s*:?=[ \t]*(?:await\s+|yield\s+)?[&*]*"
        rf"({SLOW_PATH})[ \t]*[?!]?(?=[;,)\n]|$)"
    ),
    "_MEMBER": r"(?:([^\W\d]\w*)\s*)?(?:\.|->|::)\s*([^\W\d]\w*)?",
    "_ARGUMENTS": r"\([^()]*\)|\[[^\[\]]*\]|(?<=\w)<[\w, <>]*>",
    "_CALLBACK": (
        rf"(?<![^\W\d])({SLOW_PATH})(?:\([^()]*\))?(?:\?\.|!?\.)\w+\("
        r"\s*(?:\(?\s*([^\W\d]\w*)\b[^()=\n]*\)?\s*(?:=>|->)|\|\s*&?(\w+)\s*\|)"
    ),
    "_LOOPED": (
        r"\b(?:for|foreach)\s*\(?\s*(?:(?:const|let|var|val|auto|[A-Z][\w.<>\[\]]*)\s+)?[&*(]*(?:\w+\s*,\s*)?([^\W\d]\w*)\)?"
        rf"\s*(?:\bof\b|\bin\b|:=\s*range\b|:)\s*[&*]*({SLOW_PATH})"
    ),
}  # fmt: skip
"""The rules as they read plainest."""
PIECES = ["a", "b1", "Cart", "Map", "ä", "->", "=>", "::", "?.", ":=", "for", "each", "0x1f", "a.b", "x: Cart"]
PIECES += ["in ", "of ", "with ", " as ", "new ", "await ", "const ", "mut ", "a = b\n"]
TEXTS = st.lists(
    st.sampled_from(PIECES) | st.sampled_from(" \n\t.,:;=()[]{}<>|&*?!'\"1_"),
    max_size=30,
).map("".join)


@given(TEXTS)
def test_each_rule_finds_what_it_finds_written_plainly(text):
    for name, plain in SLOW.items():
        expected = [match.groups() for match in re.finditer(plain, text)]
        if name == "_ANNOTATED":
            assert list(cursor_text._annotated(text)) == expected
        else:
            assert [match.groups() for match in getattr(cursor_text, name).finditer(text)] == expected, name
    if re.search(SLOW["_CALLBACK"], text):
        assert cursor_text._CALLBACK_START.search(text)


@given(TEXTS, TEXTS)
def test_names_are_counted_and_placed_as_one_by_one(before, after):
    found = CursorText(Cursor(path="a.py", prefix=before, suffix=after))
    assert +found.counts == Counter(cursor_text.NAME.findall(f"{before}\n{after}"))
    rows = {}
    for lines in (before.split("\n")[::-1], after.split("\n")):
        for row, line in enumerate(lines):
            for name in cursor_text.NAME.findall(line):
                rows[name] = min(row, rows.get(name, row))
    assert found.distances == rows
