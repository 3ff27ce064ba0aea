import json
import re
from xml.etree import ElementTree as ET

import pytest

from lsp_server.cli import main
from lsp_server.verbs import graph_picture
from repo_context.snippet import ImportEdge
from tests.support.files import write_files

FILES = {
    "shop/__init__.py": "",
    "shop/money.py": "RATE = 3\n\n\ndef pay(x):\n    return x\n",
    "shop/cart.py": "from shop.money import RATE, pay\nfrom . import money\n",
    "shop/a & <b>.py": "from shop.cart import *\n",
    "lonely.py": "x = 1\n",
}


@pytest.fixture
def show(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MIDFILL_HOME", str(tmp_path / "home"))
    write_files(tmp_path / "root", FILES)

    def show(*arguments):
        assert main(["graph", str(tmp_path / "root"), *arguments]) == 0
        return capsys.readouterr().out

    return show


def test_text_lists_dependencies_first_with_the_names_that_are_taken(show):
    lines = [line.strip() for line in show().splitlines()]
    assert "shop/money.py: RATE, pay, money" in lines
    assert lines.index("shop/money.py   (imported by 1)") < lines.index("shop/cart.py   (imported by 1)")
    assert lines[-1] == "3 files, 2 imports, 1 groups"
    assert "lonely.py" not in lines
    assert "lonely.py" in show("--all")


def test_json_holds_groups_and_edges(show):
    graph = json.loads(show("--format", "json"))
    assert graph["groups"] == [["shop/money.py", "shop/cart.py", "shop/a & <b>.py"]]
    assert {"source": "shop/a & <b>.py", "target": "shop/cart.py", "names": ["*"]} in graph["edges"]


def test_dot_and_mermaid_name_every_edge(show):
    assert '"shop/cart.py" -> "shop/money.py" [label="RATE, pay, money"];' in show("--format", "dot")
    assert len(re.findall(r"n\d --> n\d", show("--format", "mermaid"))) == 2


def test_svg_is_one_well_formed_picture_of_all_nodes(show):
    root = ET.fromstring(show("--format", "svg"))
    names = {node.get("data-name") for node in root.iter("{http://www.w3.org/2000/svg}g")}
    assert names == {"shop/money.py", "shop/cart.py", "shop/a & <b>.py"}


def test_html_needs_nothing_from_elsewhere(show, tmp_path):
    show("--format", "html", "--output", str(tmp_path / "graph.html"))
    page = (tmp_path / "graph.html").read_text()
    assert set(re.findall(r"https?://[^\s\"'<]+", page)) == {"http://www.w3.org/2000/svg"}
    assert "<script src" not in page
    assert '"names"' not in page
    assert '["shop/cart.py","shop/money.py",["RATE","pay","money"]]' in page


def test_a_name_cannot_end_the_script():
    page = graph_picture.html("x", [ImportEdge(source="</script><b>.py", target="b.py", names=())])
    assert page.count("</script>") == 1


@pytest.mark.parametrize("count", [2, graph_picture.MAX_NODES, graph_picture.MAX_NODES + 1, 700])
def test_many_files_are_gathered_into_folders(count):
    paths = [f"p{number % 9}/q{number % 4}/f{number}.py" for number in range(count)]
    edges = [
        ImportEdge(source=path, target=paths[place * 7 % count], names=())
        for place, path in enumerate(paths)
        if place != place * 7 % count
    ]
    root = ET.fromstring(graph_picture.svg("x", edges))
    nodes = [node.get("data-name") for node in root.iter("{http://www.w3.org/2000/svg}g")]
    assert len(nodes) <= graph_picture.MAX_NODES
    assert any(name.endswith("/") for name in nodes) == (count > graph_picture.MAX_NODES)


def test_a_folder_without_imports_is_said_in_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MIDFILL_HOME", str(tmp_path / "home"))
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "a.py").write_text("x = 1\n")
    assert main(["graph", str(tmp_path / "root")]) == 2
    assert "no file of" in capsys.readouterr().err
