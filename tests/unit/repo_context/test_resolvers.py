import json
import random

import pytest

from repo_context.import_graph import ImportGraph
from repo_context.languages import PARSED_LANGUAGES
from repo_context.repository import Repository
from repo_context.resolvers import RESOLVERS, build_settings
from tests.support.import_samples import graph_of, samples, shown_definitions, shown_edges

SAMPLES = samples()


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.language)
def test_every_file_of_a_sample_yields_its_edges_and_definitions(sample):
    graph = graph_of(sample.files)
    edges = {path: shown_edges(graph, path) for path in sample.files}
    assert {path: found for path, found in edges.items() if found} == sample.edges
    definitions = {path: shown_definitions(path, text) for path, text in sample.files.items()}
    assert {path: found for path, found in definitions.items() if found} == sample.definitions


def test_every_parsed_language_has_a_resolver_and_a_sample():
    languages = {language.name for language in PARSED_LANGUAGES}
    assert set(RESOLVERS) == languages
    # Notebooks and TSX files are part of the samples of Python and TypeScript.
    assert {sample.language for sample in SAMPLES} == languages - {"jupyter", "tsx"}


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.language)
def test_the_order_in_which_files_come_does_not_matter(sample):
    paths = list(sample.files)
    random.Random(1).shuffle(paths)
    shuffled = graph_of({path: sample.files[path] for path in paths})
    assert shuffled.depends_on() == graph_of(sample.files).depends_on()


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.language)
def test_settings_that_are_not_what_they_should_be_break_nothing(sample):
    for broken in (
        "",
        "[]",
        "{",
        '"text"',
        "null",
        '{"name": [], "exports": 3}',
        "\0",
        "[" * 100_000,
        "[package]\nname=1",
    ):
        files = dict(sample.files)
        files.update({path: broken for path in files if path.endswith((".json", ".toml", "go.mod", "Package.swift"))})
        graph = graph_of(files)
        assert graph.depends_on().keys() == files.keys()


def targets(files, path):
    return [item.target for item in graph_of(files).imports_of(path)]


@pytest.mark.parametrize(
    ("files", "path", "expected"),
    [
        pytest.param(
            {"x-stubs/a.pyi": "class A: ...", "m.py": "from x.a import A"}, "m.py", ["x-stubs/a.pyi"], id="stub package"
        ),
        pytest.param(
            {"a/__init__.py": "from .b import f", "a/b.py": "from .c import f", "a/c.py": "def f(): ...",
             "m.py": "from a import f"}, "m.py", ["a/c.py"], id="passed on twice"),
        pytest.param(
            {"a/__init__.py": "from .b import *", "a/b.py": "from . import *", "m.py": "from a import f"}, "m.py",
            ["a/__init__.py"], id="wildcards in a circle"),
        pytest.param({"a.py": "", "a/__init__.py": "", "m.py": "import a"}, "m.py", ["a.py"], id="package or module"),
        pytest.param(
            {"package.json": '{"imports": {"#x/*": "./src/*.ts"}}', "src/b.ts": "", "a.ts": 'import "#x/b"'}, "a.ts",
            ["src/b.ts"], id="package imports"),
        pytest.param(
            {"p/package.json": '{"name": "p", "exports": {"./b": {"node": {"import": "./dist/b.mjs"}}}}',
             "p/src/b.ts": "", "a.ts": 'import "p/b"; import "p/c"'}, "a.ts", ["p/src/b.ts"], id="built file's source"),
        pytest.param(
            {"tsconfig.json": '{"extends": ["./one.json", "./tsconfig.two"]}',
             "tsconfig.two.json": '{"compilerOptions": {"paths": {"@/*": ["./lib/*"]}}}', "lib/b.ts": "",
             "a.ts": 'import "@/b"'}, "a.ts", ["lib/b.ts"], id="extends several"),
        pytest.param(
            {"tsconfig.json": '{"extends": "./tsconfig.json"}', "a.ts": 'import "@/b"'}, "a.ts", [],
            id="extends itself"),
        pytest.param(
            {"A.java": "package p; class A { static void f() { q.B.g(); } }", "B.java": "package q; class B {}"},
            "A.java", [], id="a full name in code"),
        pytest.param(
            {"a/A.java": "package p; import static q.B.f; class A {}", "b/B.java": "package q; class B {}"}, "a/A.java",
            ["b/B.java"], id="static import"),
        pytest.param(
            {"go.mod": "module m", "go.work": "replace x.org/n => ./n", "n/b.go": "package n",
             "a.go": 'package m\nimport "x.org/n"'}, "a.go", ["n/b.go"], id="go.work"),
        pytest.param(
            {"m/go.mod": "module x.org/m", "go.mod": "module x.org", "m/b.go": "package m",
             "a.go": 'package a\nimport "x.org/m"'}, "a.go", ["m/b.go"], id="nested module"),
        pytest.param(
            {"Cargo.toml": '[package]\nname = "a"\n[lib]\nname = "q"\npath = "lib.rs"', "lib.rs": "mod b;", "b.rs": "",
             "tests/t.rs": "mod common;\nuse q::b;", "tests/common/mod.rs": ""}, "tests/t.rs",
            ["tests/common/mod.rs", "b.rs"], id="integration test"),
        pytest.param(
            {"src/main.rs": "mod a;", "src/a.rs": "use crate::a::inner::X; mod inner { pub struct X; }"},
            "src/a.rs", [], id="a module inside the file"),
        pytest.param(
            {"compile_commands.json": json.dumps(
                [{"directory": "/x/b", "file": "/x/r/a.c", "command": "cc -I/x/r/i a.c"}]),
             "a.c": "#include <q.h>", "i/q.h": "", "j/q.h": ""}, "a.c", ["i/q.h"], id="absolute include root"),
        pytest.param({"a.lua": 'require("b.c")', "lib/b/c.lua": ""}, "a.lua", ["lib/b/c.lua"], id="lua root"),
        pytest.param({"a.sh": ". ./b.sh\nsource $X", "b.sh": ""}, "a.sh", ["b.sh"], id="dot"),
    ],
)  # fmt: skip
def test_a_rule_of_a_language(files, path, expected):
    assert targets(files, path) == expected


def test_a_chain_of_names_that_are_passed_on_has_an_end():
    files = {f"m{number}.py": f"from m{number + 1} import f" for number in range(3_000)}
    graph = graph_of(files)
    assert all(len(found) <= 1 for found in graph.depends_on().values())


def test_barrels_that_export_each_other_have_an_end():
    count = 120
    everything = "\n".join(f"export * from './m{number}'" for number in range(count))
    files = {f"m{number}.ts": everything for number in range(count)}
    files["a.ts"] = "import { missing, x, y, z } from './m0'"
    assert targets(files, "a.ts") == ["m0.ts"]


def test_an_empty_graph_answers():
    graph = ImportGraph()
    assert graph.depends_on() == {}
    assert graph.imports_of("nowhere.py") == ()
    assert graph.resolve("nowhere.unknown", ()) == []
    graph.remove("nowhere.py")


def test_compile_commands_of_an_ignored_build_folder_are_read(tmp_path):
    root = tmp_path / "root"
    for path, text in {
        ".gitignore": "build/\n",
        "a.c": "#include <q.h>\n",
        "deep/inc/q.h": "",
        "build/compile_commands.json": json.dumps(
            [{"directory": "/w/build", "file": "../a.c", "command": "cc -I../deep/inc ../a.c"}]
        ),
    }.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    with Repository.open(root, index_folder=tmp_path / "index") as repository:
        assert repository.depends_on()["a.c"] == ["deep/inc/q.h"]
    outside = tmp_path / "elsewhere.json"
    (root / "build/compile_commands.json").rename(outside)
    (root / "build/compile_commands.json").symlink_to(outside)
    assert build_settings(root.resolve()) == {}
