import pytest

from repo_context.repository import Repository
from repo_context.snippet import Cursor
from tests.support.files import write_files

FILES = {
    "shop/__init__.py": "from .cart import Cart\n",
    "shop/cart.py": (
        "class Cart(Basket):\n"
        + "    def __init__(self, owner: str) -> None:\n        self.owner = owner\n        self.items = []\n\n"
        + "    def add_item(\n        self,\n        item: str,\n        price: int,\n    ) -> None:\n"
        + "        self.items.append((item, price))\n\n"
        + "    def total_price(self) -> int:\n        return sum(price for _, price in self.items)\n"
    ),
    "shop/money.py": "def format_price(cents: int) -> str:\n    return f'{cents / 100:.2f}'\n\n\nRATE = 3\n",
    "shop/report.py": "def report(lines):\n    for line in lines:\n        print(line.rstrip(), end='')\n",
    "other/money.py": "def format_price(cents):\n    raise NotImplementedError\n",
    "copy/money.py": "def format_price(cents: int) -> str:\n    return f'{cents / 100:.2f}'\n\n\nRATE = 3\n",
}


def words(text):
    return len(text.split())


@pytest.fixture
def ask(tmp_path):
    root = tmp_path / "root"
    opened = []

    def ask(source, *, path="main.py", budget=300, files=FILES):
        write_files(root, files)
        repository = Repository.open(root, index_folder=tmp_path / "index")
        opened.append(repository)
        prefix, _, suffix = source.partition("‸")
        repository.update(path, prefix + suffix)
        return repository.snippets_for(
            Cursor(path=path, prefix=prefix, suffix=suffix), budget=budget, count_tokens=words
        )

    yield ask
    for repository in opened:
        repository.close()


def chosen(snippets, reason):
    return [(snippet.path, snippet.text.split("\n")[0]) for snippet in snippets if reason in snippet.reason]


def test_an_imported_name_near_the_cursor_brings_its_definition(ask):
    found = ask("from shop.money import format_price\n\nprint(format_price(‸))\n")
    assert found[0].path == "shop/money.py"
    assert found[0].reason == "definition of format_price"
    assert found[0].text == FILES["shop/money.py"].partition("\n\n")[0]


def test_a_name_that_a_package_passes_on_is_followed_to_its_definition(ask):
    found = ask("from shop import Cart\n\ncart = Cart(‸)\n")
    assert chosen(found, "definition of Cart") == [("shop/cart.py", "class Cart(Basket):")]


def test_a_class_is_shown_as_a_skeleton(ask):
    (cart, *_) = ask("from shop import Cart\n\ncart = Cart(‸)\n")
    assert cart.text.split("\n") == [
        "class Cart(Basket):",
        "    def __init__(self, owner: str) -> None: ...",
        "    def add_item(self, item: str, price: int) -> None: ...",
        "    def total_price(self) -> int: ...",
    ]


def test_the_type_of_a_variable_brings_its_class(ask):
    gap = "\n".join(f"step_{number} = {number}" for number in range(15))
    found = ask(f"from shop import Cart\n\ndef pay(order: Cart):\n{gap}\n    order.‸\n")
    assert chosen(found, "receiver order: its type") == [("shop/cart.py", "class Cart(Basket):")]


CHAINED = {
    "shop/router.py": (
        "class Router:\n" + "".join(f"    def add_{n}(self, path):\n        self.x = {n}\n\n" for n in range(9))
    ),
    "shop/app.py": "from .router import Router\n\n\nclass App:\n    def router(self) -> Router:\n        return self._r\n",  # noqa: E501
}


@pytest.mark.parametrize(
    "source",
    [
        "from shop.app import App\n\ndef f(app: App):\n    app.router().‸",
        "from shop.app import App\n\napp = App()\nrouter = app.router()\nrouter.‸",
        "import shop.app\n\ndef f(app: 'shop.app.App'):\n    app.router('a', f(1)).‸",
    ],
)
def test_a_receiver_is_followed_through_calls_to_its_type(ask, source):
    found = ask(source, files=CHAINED)
    assert (found[0].path, found[0].text.split("\n")[0]) == ("shop/router.py", "class Router:")
    assert found[0].reason.startswith("receiver")


def test_an_import_that_nothing_uses_yet_is_shown(ask):
    gap = "\n".join(f"step_{number} = {number}" for number in range(15))
    found = ask(f"from shop.money import format_price, RATE\n{gap}\n‸\n")
    assert ("shop/money.py", "def format_price(cents: int) -> str:") in chosen(found, "not used yet")


def test_what_similar_code_uses_hints_at_definitions(ask):
    files = FILES | {
        "a.py": "from shop.cart import Cart\n\n\ndef first(owner):\n    log(owner, verbose=True)\n    return Cart(owner)\n"  # noqa: E501
    }
    found = ask("def second(owner):\n    log(owner, verbose=True)\n    ‸\n", files=files)
    assert ("shop/cart.py", "class Cart(Basket):") in chosen(found, "Cart")


def test_the_base_of_the_class_around_the_cursor_is_shown(ask):
    gap = "\n".join(f"    field_{number} = {number}" for number in range(15))
    found = ask(f"from shop import Cart\n\nclass Big(Cart):\n{gap}\n    def f(self):\n        ‸\n")
    assert chosen(found, "base Cart") == [("shop/cart.py", "class Cart(Basket):")]


def test_a_rare_member_brings_the_class_that_has_it(ask):
    assert chosen(ask("def f(x):\n    x.total_price(‸)\n"), "has a member total_price") == [
        ("shop/cart.py", "class Cart(Basket):")
    ]


def test_members_of_an_imported_module_are_found(ask):
    found = ask("import shop.money as m\n\nprint(m.format_price(‸))\n")
    assert chosen(found, "definition of m.format_price") == [("shop/money.py", "def format_price(cents: int) -> str:")]


def test_a_namesake_of_a_name_imported_from_elsewhere_is_not_shown(ask):
    found = ask("from elsewhere import Cart\n\ncart = Cart(‸)\n")
    assert chosen(found, "definition") == []


def test_similar_text_comes_after_definitions(ask):
    found = ask("from shop.money import format_price\n\nfor line in lines:\n    print(line.rstrip()‸)\n")
    assert [snippet.reason for snippet in found if snippet.path == "shop/report.py"] == ["similar text (BM25)"]
    assert found[-1].path != "shop/money.py"


def test_nothing_comes_from_the_edited_file_or_says_what_it_says(ask):
    found = ask(FILES["shop/report.py"] + "‸", path="shop/again.py")
    assert [snippet.path for snippet in found if snippet.path in ("shop/again.py", "shop/report.py")] == []
    found = ask(FILES["shop/report.py"] + "‸", path="shop/report.py")
    assert "shop/report.py" not in [snippet.path for snippet in found]


def test_the_same_text_in_two_files_is_shown_once(ask):
    found = ask("from shop.money import format_price\n\nreturn format_price(cents / 100, RATE)‸")
    texts = [" ".join(snippet.text.split()) for snippet in found]
    assert len(texts) == len(set(texts))


@pytest.mark.parametrize("budget", [0, 1, 5, 20, 60, 1_000])
def test_the_budget_is_kept_with_path_headers_counted(ask, budget):
    found = ask("from shop import Cart\nfrom shop.money import format_price\n\nCart(format_price(‸", budget=budget)
    assert sum(words(f"{item.comment} {item.path}\n{item.text}\n") for item in found) <= budget


def test_the_same_question_has_the_same_answer(ask):
    question = "from shop import Cart\nfrom shop.money import format_price\n\nCart(format_price(‸"
    assert ask(question) == ask(question)


@pytest.mark.parametrize("source", ["‸", "\n\n‸\n", "from ‸", "import shop.‸", "é = '🌲'‸", "(" * 500 + "‸"])
def test_any_cursor_has_an_answer(ask, source):
    assert isinstance(ask(source), tuple)


JAVA = {
    "src/app/Node.java": "package app;\n\npublic class Node {\n    int key;\n    Node next() { return null; }\n}\n",
    "src/app/Tree.java": "package app;\n",
}
TYPESCRIPT = {"src/node.ts": "export interface Node {\n  key: number;\n}\nexport default class Tree {\n  a = 1;\n}\n"}
GO = {"go.mod": "module m\n", "inner/node.go": "package inner\n\ntype Node struct {\n\tKey int\n}\n"}


@pytest.mark.parametrize(
    ("files", "path", "source", "expected"),
    [
        (JAVA, "src/app/Tree.java", "package app;\nclass Tree {\n    Node root = new Node(‸", "src/app/Node.java"),
        (JAVA, "src/b/Use.java", "package b;\nimport app.Node;\nclass Use {\n    Node root = ‸", "src/app/Node.java"),
        (TYPESCRIPT, "src/use.ts", 'import { Node } from "./node";\nconst n: Node = ‸', "src/node.ts"),
        (TYPESCRIPT, "src/use.ts", 'import Plant from "./node";\nconst n = new Plant(‸', "src/node.ts"),
        (GO, "main.go", 'package main\nimport "m/inner"\nfunc f() { x := inner.Node{‸', "inner/node.go"),
    ],
)
def test_definitions_are_found_in_other_languages(ask, files, path, source, expected):
    found = ask(source, path=path, files=files)
    assert expected in [snippet.path for snippet in found if snippet.reason.startswith(("definition", "type"))]


GO_PACKAGE = {
    "go.mod": "module m\n",
    "inner/node.go": "package inner\n\ntype Node struct {\n\tKey int\n}\n\n"
    "func New(key int) *Node {\n\treturn nil\n}\n",
    "near.go": "package main\n\nfunc helper(key int) int {\n\treturn key\n}\n",
}


def test_a_go_package_before_the_cursor_shows_what_it_offers(ask):
    source = 'package main\n\nimport "m/inner"\n\nfunc f() {\n\tx := inner.Node{}\n\ty := inner.‸'
    found = ask(source, path="main.go", files=GO_PACKAGE)
    assert [snippet.text.split("\n") for snippet in found if snippet.reason.startswith("receiver inner")] == [
        ["type Node struct", "func New(key int) *Node"]
    ]


def test_names_seen_without_an_import_are_not_taken_for_unused_imports(ask):
    found = ask("package main\n\nfunc f() {\n\thelper(‸)\n}\n", path="main.go", files=GO_PACKAGE)
    assert [snippet.reason for snippet in found if snippet.path == "near.go"] == ["definition of helper"]
