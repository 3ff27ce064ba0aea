import pytest

from repo_context import syntax
from repo_context.dependency_order import order_files
from repo_context.import_graph import ImportGraph
from repo_context.languages import language_of
from repo_context.resolvers import is_settings_file


def graph_of(files, root_name=""):
    """Parse every file and resolve its imports; files without a grammar count as settings."""
    graph = ImportGraph(root_name)
    for path, source in files.items():
        add(graph, path, source)
    graph.set_settings({path: text for path, text in files.items() if is_settings_file(path)})
    return graph


def add(graph, path, source):
    language = language_of(path)
    if language is None or language.grammar is None:
        graph.add(path, ())
        return
    found = syntax.parse(source, language.grammar)
    graph.uses.note(path, found.references)
    graph.add(path, found.imports, packages=found.packages, definitions=found.definitions)


def targets(files, path, **options):
    return [item.target for item in graph_of(files, **options).imports_of(path)]


PACKAGE = ["pkg/__init__.py", "pkg/a.py", "pkg/b.py", "pkg/sub/__init__.py", "pkg/sub/c.py"]


@pytest.mark.parametrize(
    ("paths", "path", "source", "expected"),
    [
        (PACKAGE, "main.py", "import pkg.a", ["pkg/a.py"]),
        (PACKAGE, "main.py", "import pkg", ["pkg/__init__.py"]),
        (PACKAGE, "main.py", "from pkg import a, b, other", ["pkg/a.py", "pkg/b.py", "pkg/__init__.py"]),
        (PACKAGE, "main.py", "from pkg.sub.c import x", ["pkg/sub/c.py"]),
        (PACKAGE, "main.py", "from pkg.sub import *", ["pkg/sub/__init__.py"]),
        (PACKAGE, "pkg/a.py", "from . import b", ["pkg/b.py"]),
        (PACKAGE, "pkg/a.py", "from .sub.c import x", ["pkg/sub/c.py"]),
        (PACKAGE, "pkg/a.py", "from .a import x", []),
        (PACKAGE, "pkg/sub/c.py", "from .. import a", ["pkg/a.py"]),
        (PACKAGE, "pkg/sub/c.py", "from ..b import x", ["pkg/b.py"]),
        (PACKAGE, "pkg/sub/c.py", "from .... import x", []),
        (PACKAGE, "pkg/sub/__init__.py", "from .c import x", ["pkg/sub/c.py"]),
        (PACKAGE, "main.py", "import os\nfrom typing import Any", []),
        (["src/pkg/__init__.py", "src/pkg/a.py", "tests/t.py"], "tests/t.py", "from pkg.a import x", ["src/pkg/a.py"]),
        (["src/space/a.py"], "tests/t.py", "import space.a", ["src/space/a.py"]),
        (["tools/run.py", "tools/help.py"], "tools/run.py", "import help", ["tools/help.py"]),
        (["x/help.py", "y/help.py", "y/run.py"], "y/run.py", "from help import a", ["y/help.py"]),
        (["pkg/a.pyi"], "main.py", "from pkg import a", ["pkg/a.pyi"]),
        (["src/app/json/__init__.py"], "src/app/deep/main.py", "import json, logging.handlers", []),
        (["app/__init__.py", "app/logging.py"], "app/main.py", "import logging", []),
        (["json.py", "lib/logging.py"], "app/main.py", "import json, logging", ["json.py", "lib/logging.py"]),
        (["tools/json.py"], "tools/run.py", "import json", ["tools/json.py"]),
        (["one/pkg/a.py", "two/pkg/a.py", "one/pkg/__init__.py", "two/pkg/__init__.py"], "two/m.py", "import pkg.a",
         ["two/pkg/a.py"]),
    ],
)  # fmt: skip
def test_python_imports_lead_to_files(paths, path, source, expected):
    assert targets({**dict.fromkeys(paths, ""), path: source}, path) == expected


def test_a_root_that_is_itself_a_package_goes_by_its_folder_s_name():
    files = {"__init__.py": "", "core.py": "", "a.py": "from forest.core import x"}
    assert targets(files, "a.py", root_name="forest") == ["core.py"]
    assert targets({**files, "__init__.py": ""}, "a.py", root_name="other") == []


@pytest.mark.parametrize(
    ("paths", "path", "source", "expected"),
    [
        (["src/b.ts"], "src/a.ts", 'import { x } from "./b"', ["src/b.ts"]),
        (["src/b.tsx"], "src/a.ts", 'import x from "./b"', ["src/b.tsx"]),
        (["src/b.ts"], "src/a.ts", 'import { x } from "./b.js"', ["src/b.ts"]),
        (["src/b.js"], "src/a.ts", 'import { x } from "./b.js"', ["src/b.js"]),
        (["lib/b/index.ts"], "src/a.ts", 'import "../lib/b"', ["lib/b/index.ts"]),
        (["index.js"], "src/a.js", 'const x = require("..")', ["index.js"]),
        (["src/b.js", "src/b/index.js"], "src/a.js", 'const { x } = require("./b")', ["src/b.js"]),
        (["src/data.json"], "src/a.js", 'const x = require("./data")', ["src/data.json"]),
        (["src/b.mjs"], "src/a.js", 'const x = await import("./b.mjs")', ["src/b.mjs"]),
        (["src/b.ts"], "src/a.ts", 'export * from "./b"', ["src/b.ts"]),
        (["src/b.ts"], "src/a.ts", 'import react from "react"; import "../../outside"', []),
        (["src/a.b.ts"], "src/a.ts", 'import x from "./a.b"', ["src/a.b.ts"]),
    ],
)
def test_script_imports_lead_to_files(paths, path, source, expected):
    assert targets({**dict.fromkeys(paths, ""), path: source}, path) == expected


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ('{"compilerOptions": {"baseUrl": "."}}', []),
        ('{"compilerOptions": {"paths": {"@/*": ["./src/*"]}}}', ["app/src/b.ts"]),
        ('{"compilerOptions": {"baseUrl": "src", "paths": {"@/*": ["none/*", "*"]}}}', ["app/src/b.ts"]),
        ('{ // comment\n "compilerOptions": {"paths": {"@/b": ["src/b.ts",],}, /* more */ }}', ["app/src/b.ts"]),
        ('{"compilerOptions": {"paths": {"@/*": "src/*"}}}', []),
        ('{"compilerOptions": []}', []),
        ("not json", []),
    ],
)
def test_typescript_paths_are_followed_and_broken_settings_say_nothing(settings, expected):
    files = {"app/tsconfig.json": settings, "app/src/b.ts": "", "app/src/a.ts": 'import { x } from "@/b"'}
    assert targets(files, "app/src/a.ts") == expected


def test_packages_of_one_repository_find_each_other():
    files = {
        "packages/core/package.json": '{"name": "@us/core", "main": "dist/index.js"}',
        "packages/core/src/index.ts": "",
        "packages/core/src/deep.ts": "",
        "packages/app/a.ts": 'import x from "@us/core"; import y from "@us/core/deep"; import z from "@us/core-other"',
    }
    assert targets(files, "packages/app/a.ts") == ["packages/core/src/index.ts", "packages/core/src/deep.ts"]


CONTENT = {
    "go.mod": "module example.org/m\n",
    "src/org/x/B.java": "package org.x; public class B { static class Inner {} }",
}


@pytest.mark.parametrize(
    ("paths", "path", "source", "expected"),
    [
        (["src/b.h"], "src/a.c", '#include "b.h"', ["src/b.h"]),
        (["include/lib/b.h"], "src/a.c", '#include "lib/b.h"', ["include/lib/b.h"]),
        (["include/lib/b.h"], "src/a.cpp", "#include <lib/b.h>", ["include/lib/b.h"]),
        (["include/string.h"], "src/a.c", "#include <string.h>", []),
        (["src/org/x/B.java"], "src/org/y/A.java", "import org.x.B;", ["src/org/x/B.java"]),
        (["src/org/x/B.java"], "src/org/y/A.java", "import static org.x.B.of;", ["src/org/x/B.java"]),
        (["src/org/x/B.java"], "src/org/y/A.java", "import org.x.B.Inner;", ["src/org/x/B.java"]),
        (["src/org/x/B.java"], "src/org/y/A.java", "import static org.x.B.Inner.Kind.GREEN;", ["src/org/x/B.java"]),
        (
            ["go.mod", "inner/b.go", "inner/b_test.go"],
            "a.go",
            'package a\nimport "example.org/m/inner"',
            ["inner/b.go"],
        ),
        (["src/b.rs"], "src/main.rs", "mod b;", ["src/b.rs"]),
        (["src/b/mod.rs"], "src/lib.rs", "mod b;", ["src/b/mod.rs"]),
        (["src/model/node.rs"], "src/a.rs", "use crate::model::node::Node;", ["src/model/node.rs"]),
        (["src/b.rs"], "src/a.rs", "use super::b::x;", ["src/b.rs"]),
        (["lib/b.rb"], "lib/a.rb", "require_relative 'b'", ["lib/b.rb"]),
        (["lib/forest/b.rb"], "bin/a.rb", "require 'forest/b'", ["lib/forest/b.rb"]),
        (["src/Model/Node.php"], "src/a.php", "<?php use App\\Model\\Node;", ["src/Model/Node.php"]),
        (["src/names.php"], "src/a.php", "<?php require __DIR__ . '/names.php';", ["src/names.php"]),
        (["bin/names.sh"], "bin/a.sh", 'source "$HERE/names.sh"', ["bin/names.sh"]),
    ],
)
def test_imports_of_other_languages_lead_to_files(paths, path, source, expected):
    texts = {name: CONTENT.get(name, "") for name in paths}
    assert targets({**texts, path: source}, path) == expected


def test_a_rust_program_has_its_modules_where_its_manifest_places_it():
    files = {
        "Cargo.toml": '[package]\nname = "top"\n[[bin]]\nname = "rg"\npath = "crates/core/main.rs"\n',
        "crates/core/main.rs": "mod flags; use crate::flags::Flag;",
        "crates/core/flags/mod.rs": "mod parse; pub use parse::Flag; use super::Top;",
        "crates/core/flags/parse.rs": "use crate::Top; pub struct Flag;",
    }
    assert graph_of(files).depends_on() == {
        "Cargo.toml": [],
        "crates/core/main.rs": ["crates/core/flags/mod.rs", "crates/core/flags/parse.rs"],
        "crates/core/flags/mod.rs": ["crates/core/flags/parse.rs", "crates/core/main.rs"],
        "crates/core/flags/parse.rs": ["crates/core/main.rs"],
    }


def test_an_edge_carries_the_names_that_come_from_its_file():
    graph = graph_of({"p/__init__.py": "", "p/a.py": "", "m.py": "from p import a, thing as t"})
    named = {item.target: [name.alias for name in item.statement.names] for item in graph.imports_of("m.py")}
    assert named == {"p/a.py": ["a"], "p/__init__.py": ["t"]}


def test_cyclic_imports_are_edges_like_others_and_can_be_ordered():
    graph = graph_of({"a.py": "import b", "b.py": "import a", "c.py": "import a, c"})
    assert graph.depends_on() == {"a.py": ["b.py"], "b.py": ["a.py"], "c.py": ["a.py"]}
    assert graph.edges() == 3
    assert order_files(list(graph.depends_on()), graph.depends_on()) == [["a.py", "b.py", "c.py"]]


def test_importers_follow_edits():
    graph = graph_of({"a.py": "", "b.py": "import a"})
    assert graph.importers_of("a.py") == {"b.py"}
    graph.add("b.py", ())
    assert graph.importers_of("a.py") == set()
    graph.remove("a.py")
    assert graph.importers_of("a.py") == set()


def test_a_file_that_appears_is_found_by_imports_that_were_there_before():
    graph = graph_of({"b.py": "import a"})
    assert graph.imports_of("b.py") == ()
    graph.add("a.py", ())
    assert [item.target for item in graph.imports_of("b.py")] == ["a.py"]


@pytest.mark.parametrize(
    ("before", "edited", "after"),
    [
        ({"p/__init__.py": "from .a import x", "p/a.py": "x = 1", "p/b.py": "x = 2", "m.py": "from p import x"},
         ("p/__init__.py", "from .b import x"), {"m.py": ["p/b.py"]}),
        ({"p/__init__.py": "from .a import *", "p/a.py": "", "m.py": "from p import x"},
         ("p/a.py", "x = 1"), {"m.py": ["p/a.py"]}),
        ({"A.java": "package p; class A { B b; }", "B.java": "package q; class B {}"},
         ("B.java", "package p; class B {}"), {"A.java": ["B.java"]}),
        ({"A.kt": "package p\nval a = b()", "B.kt": "package p\nfun c() = 1"},
         ("B.kt", "package p\nfun b() = 1"), {"A.kt": ["B.kt"]}),
        ({"A.kt": "package p\nimport q.b\n", "B.kt": "package q\nfun b() = 1"},
         ("B.kt", "package q\nfun c() = 1"), {"A.kt": []}),
        ({"A.cs": "using N;\nclass A { B b; }", "B.cs": "namespace N; class C {}"},
         ("B.cs", "namespace N; class B {}"), {"A.cs": ["B.cs"]}),
        ({"a.ts": "import { x } from './i'", "i.ts": "export * from './b'", "b.ts": "export const x = 1", "c.ts": ""},
         ("i.ts", "export const x = 1"), {"a.ts": ["i.ts"]}),
    ],
)  # fmt: skip
def test_an_edit_changes_what_other_files_lead_to_as_a_fresh_graph_would_say(before, edited, after):
    graph = graph_of(before)
    graph.depends_on()
    add(graph, *edited)
    fresh = graph_of({**before, edited[0]: edited[1]})
    assert graph.depends_on() == fresh.depends_on()
    for path, expected in after.items():
        assert graph.depends_on()[path] == expected
        assert all(path in graph.importers_of(target) for target in expected)
