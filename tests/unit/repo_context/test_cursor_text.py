import pytest

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
