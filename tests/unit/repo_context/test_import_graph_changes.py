"""Whatever files come, go, move and change, the graph is the one that would be built from scratch."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from repo_context.import_graph import ImportGraph
from repo_context.languages import language_of
from repo_context.name_uses import NameUses
from repo_context.resolvers import is_settings_file
from tests.support.import_samples import parsed, samples

SAMPLES = {sample.language: sample.files for sample in samples()}
STANDING_FOR_FOLDERS = [
    "index.ts",
    "index.js",
    "__init__.py",
    "__init__.pyi",
    "mod.rs",
    "lib.rs",
    "main.rs",
    "init.lua",
]

MORE = {
    "barrels": {
        "web/index.ts": "export * from './a'\nexport { three } from './deep'",
        "web/a.ts": "export * from './b'",
        "web/b.ts": "export { two as three } from './c'\nexport const one = 1",
        "web/c.ts": "export const two = 2",
        "web/deep/index.ts": "export { three } from '..'\nimport '../'",
        "web/use.ts": "import { one, two, three } from '.'\nimport x from '@us/core'\nimport y from '@us/core/main'",
        "core/package.json": '{"name": "@us/core", "main": "dist/start.js"}',
        "core/src/start.ts": "export default 1",
        "core/src/index.ts": "export default 2",
        "core/main.ts": "import { one } from '@/a'\nimport '@/deep'\nexport * from '@app'",
        "tsconfig.json": '{"compilerOptions": {"paths": {"@/*": ["web/*"], "@app": ["core/src/start", "web/a"]}}}',
    },
    "packages": {
        "__init__.py": "from .one import first",
        "one.py": "from . import two\nfrom forest import two\nfirst = 1",
        "two.py": "from .src.deep.three import *\nimport forest.one",
        "two.pyi": "second: int",
        "src/deep/__init__.py": "from .three import *\nfrom .four import fifth",
        "src/deep/three.py": "from .four import fifth\nfrom .. import deep\nthird = 3",
        "src/deep/four.py": "from deep import three\nfrom forest.src.deep import fifth, third\nimport one",
        "deep-stubs/five.pyi": "from deep.three import third",
        "src/deep/json.py": "import json, one",
        "deep/json/__init__.py": "import json",
        "run.py": "from deep import third, fifth\nimport deep.five, four\nfrom src.deep.three import *",
    },
    "crates": {
        "a/Cargo.toml": '[package]\nname = "a-one"\n',
        "a/src/lib.rs": "pub mod deep; pub use deep::Thing; mod r#type;",
        "a/src/main.rs": "use a_one::Thing; use crate::deep::Thing;",
        "a/src/deep.rs": "mod inner; pub use inner::Thing; use super::Other;",
        "a/src/deep/inner.rs": "use super::super::Top; use super::Side; use crate::Thing; pub struct Thing;",
        "a/src/deep/mod.rs": "pub use self::inner::Thing; pub struct Side;",
        "a/src/type.rs": "use crate::r#type::X;",
        "b/Cargo.toml": '[package]\nname = "b"\n[lib]\npath = "core/root.rs"\n[[bin]]\npath = "tools/start.rs"\n',
        "b/core/root.rs": "pub use a_one::*; pub mod leaf;",
        "b/core/leaf.rs": "use crate::Thing; use a_one::deep::Side;",
        "b/tests/t.rs": "use b::leaf::Leaf; use b::Thing;",
        "b/tools/start.rs": "mod run; use crate::run::Go; use b::Thing;",
        "b/tools/run.rs": "use crate::Top; use super::Top;",
        "c/src/lib.rs": "mod x; use x::Y;",
        "c/src/x.rs": "use crate::Y; use y::Z;",
    },
    "usings": {
        "GlobalUsings.cs": "global using Deep.Names;",
        "app/Usings.cs": "global using Other;",
        "app/A.cs": "using Deep;\nnamespace App;\nclass A { Leaf leaf; Kind kind; Node node; }",
        "app/B.cs": "namespace Deep.Names;\nclass Leaf {}",
        "app/C.cs": "namespace Other;\nclass Kind {}\nclass Leaf {}",
        "app/D.cs": "using N = Deep.Node;\nnamespace Deep;\nclass Node { A a; }",
    },
    "jvm": {
        "p/A.java": "package p; import q.*; import q.BKt; import static p.q.C.of; class A { B b; C c; Other o; }",
        "p/q.java": "package p; class q { static class C {} }",
        "q/B.kt": "package q\nclass B\nfun other() = 1",
        "q/C.java": "package p.q; public class C { Other o; }",
        "q/Other.scala": "package p.q\nimport p._\nclass Other(b: B, a: A)",
    },
    "built": {
        "compile_commands.json": '[{"directory": "/x/y", "file": "src/a.c", "arguments": ["cc", "-Iinclude"]},'
        ' {"directory": "/x/z", "file": "/x/z/lib/b.c", "command": "cc -I other"}]',
        "src/a.c": '#include "n.h"\n#include <n.h>\n#include "../lib/m.h"',
        "lib/b.c": '#include "n.h"\n#include <m.h>\n#include <lib/m.h>',
        "include/n.h": "",
        "other/n.h": '#include "m.h"',
        "lib/m.h": "",
    },
}
REPOSITORIES = {**SAMPLES, **MORE}


def put(graph, uses, path, text):
    found = parsed(path, text)
    if found is None:
        graph.add(path, ())
        return
    uses.note(path, found.references)
    graph.add(path, found.imports, packages=found.packages, definitions=found.definitions)


def fresh(files, settings_texts):
    uses = NameUses()
    graph = ImportGraph("forest", uses)
    for path, text in files.items():
        put(graph, uses, path, text)
    graph.set_settings(settings_texts)
    return graph


def state_of(graph, paths):
    depends_on = graph.depends_on()
    imports = {path: graph.imports_of(path) for path in paths}
    importers = {path: sorted(graph.importers_of(path)) for path in paths}
    return imports, importers, graph.edges(), depends_on


@settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_changes_lead_to_the_edges_that_a_fresh_graph_has(data):
    universe = REPOSITORIES[data.draw(st.sampled_from(sorted(REPOSITORIES)))]
    settings_texts = {path: text for path, text in universe.items() if is_settings_file(path)}
    sources = sorted(path for path in universe if path not in settings_texts)
    folders = sorted({path.rpartition("/")[0] for path in sources})
    names = sorted({path.rpartition("/")[2] for path in sources}) + STANDING_FOR_FOLDERS
    uses = NameUses()
    graph = ImportGraph("forest", uses)
    graph.set_settings(settings_texts)
    held = {}
    for path in data.draw(st.sets(st.sampled_from(sources))):
        held[path] = universe[path]
        put(graph, uses, path, held[path])
    state_of(graph, held)
    for _ in range(data.draw(st.integers(1, 4))):
        for _ in range(data.draw(st.integers(1, 3))):
            gone = data.draw(st.none() | st.sampled_from(sorted(held))) if held else None
            text = universe[data.draw(st.sampled_from(sources))] if gone is None else held.pop(gone)
            if gone is not None:
                uses.drop(gone)
                graph.remove(gone)
            place = data.draw(
                st.none() | st.sampled_from(sources) | st.tuples(st.sampled_from(folders), st.sampled_from(names))
            )
            path = f"{place[0]}/{place[1]}".lstrip("/") if isinstance(place, tuple) else place
            if path is not None and language_of(path) is not None and ".ipynb" not in path:
                held[path] = data.draw(st.sampled_from([text, universe.get(path, text)]))
                put(graph, uses, path, held[path])
        assert state_of(graph, held) == state_of(fresh(held, settings_texts), held)
