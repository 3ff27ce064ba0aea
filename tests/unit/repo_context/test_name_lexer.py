from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repo_context import used_names as used_names_module
from repo_context.languages import language_named
from repo_context.name_lexer import LEXED, java_names, python_names
from repo_context.syntax import names_in_tree, parse_tree
from repo_context.used_names import used_names
from tests.support.native_library import compiled

PACKAGES = Path(used_names_module.__file__).parents[1]

PYTHON = {
    "a(b)(c)": "a",
    "a.b.c = d.e[f].g()": "b c e g",
    "import a.b\nfrom .c.d import e\nx.y": "y",
    "@a\n@b.c\n@d(1)\ndef f(): pass": "a c d",
    "class A(B, c.D, E[F], metaclass=G): pass": "B D",
    "def f(a: A, *b: B, c: C = d, **e: 'G') -> D[E, F]: pass": "A B C D E F",
    "x: int = 1\nself.y: A.B\nz = {a: b}\nw[a:b]": "int y B",
    "if a: b: c": "c",
    "type A[T] = B[C]": "A B C",
    "# a()\n'b()'\n\"\"\"c()\n'''\nd()\"\"\"\nr'\\'e()'\nf()": "f",
    "f'{a(b)} {{c()}} {d.e:>{f.g}}' 'h()'": "a e g",
    "rb'{a()}' + rf'''\n{b()}\n''' + F\"{c()}": "b c",
    "x = 1.real + 0xFE.a + 1e-5.c": "",
    "print(a) if not (b) else (lambda c: d(c))(e)": "print d",
    "x = a \\\n  .b(\n  # c()\n  )": "b",
    "größe.länge(名前())": "länge 名前",
}
JAVA = {
    "package a.b; import c.D; import static e.F.g; class H {}": "",
    "class A<T extends B> extends C<D> implements E, F { }": "T B C D E F",
    "class A { A() {} A(int b) {} C d(E f) throws G, H { return i(); } List<J> k(); }": "C E G H i List J",
    "class A { { new B(); c(); this.d = e.f; G.h(i, J); K.L; super.m(); } }": "B c d f G h K L m",
    'enum A { B("b"), C_D(2); }': "",
    "@A @B(c = D.E, F_G = 1) @h.I class J {}": "A B D E",
    "x = (A) b; y = (FOO) c; z = d(BAR_BAZ, E::f, URI::create, g::h);": "A FOO d E URI",
    "for (Map.Entry<A, B> c : d.e()) { var f = g; catch (A | B h) {} }": "Map Entry A B e var",
    '// a()\n/* b() */ String c = "d()" + \'e\' + \'"\' + """\n f() " g()""";': "String",
    "if (a > b(c)) return d(e) + 1.0f.g;": "d",
    "return A; x = FOO + BAR; case B: C d = E;": "C",
}


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    with compiled(tmp_path_factory.mktemp("home")) as library:
        yield library


@pytest.mark.parametrize(
    ("language", "source", "names"),
    [*(("python", *case) for case in PYTHON.items()), *(("java", *case) for case in JAVA.items())],
)
def test_names_are_told_from_their_neighbours(language, source, names):
    assert LEXED[language](source.encode()) == set(names.encode().split())


def test_names_are_those_that_the_query_finds_in_the_tree():
    grammar = language_named("python").grammar
    both = lexed = in_tree = 0
    for file in sorted(PACKAGES.glob("repo_context/*.py")):
        source = file.read_bytes()
        expected = {name.encode() for name in names_in_tree(parse_tree(source, grammar), source, grammar)}
        found = python_names(source)
        both, lexed, in_tree = both + len(found & expected), lexed + len(found), in_tree + len(expected)
    assert both / lexed > 0.99
    assert both / in_tree > 0.99


SOUP = st.lists(
    st.sampled_from([*" \n.,:;=()[]{}@\"'\\/*#<>$|+-&"])
    | st.sampled_from(
        ["f'", 'rb"""', "'''", '"""', "def ", "class ", "import ", "type ", "->", "::", "...", "//", "/*", "*/"]
    )
    | st.sampled_from(
        ["a", "Ab", "ABC", "new ", "1.5e-3", "é", "\x80", "\0", "{{", "}}", "record ", "var ", "return "]
    ),
    max_size=60,
).map(lambda pieces: "".join(pieces).encode())


@given(source=SOUP | st.binary(max_size=40), language=st.sampled_from(sorted(LEXED)))
def test_compiled_code_finds_the_same_names(library, source, language):
    slow = {name.decode("utf-8", "replace") for name in LEXED[language](source)}
    assert used_names(source, language) == slow


def test_one_file_leaves_nothing_behind_for_the_next(library):
    sources = [b"".join(b"a%d.b%d\n" % (number, number) for number in range(size)) for size in (5, 5_000, 3, 0, 700)]
    for source in sources:
        assert used_names(source, "python") == {name.decode() for name in python_names(source)}


@pytest.mark.parametrize("nest", ["f'{", 'f"""{', "((", "f'{f\"{", "{["])
def test_deep_nesting_ends(library, nest):
    source = (nest * 20_000).encode()
    assert used_names(source, "python") == {name.decode() for name in python_names(source)}
    assert used_names(source, "java") == {name.decode() for name in java_names(source)}
