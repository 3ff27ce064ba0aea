"""Where the imports of a whole repository lead, beside what the language's own tool says.

    python -m benchmarks.import_resolution LANGUAGE REPOSITORY...

LANGUAGE is typescript (needs node, and a folder with the package `typescript` in NODE_PATH), python, go or c.
Asked is every import that either side leads to a file of the repository: TypeScript's `resolveModuleName` with the
nearest tsconfig.json and the workspace's packages linked as a package manager would, Python's own finders on the root
and `src`, packages of `go list`, and files that `gcc -MM` reads from the root, `src` and `include`. The module itself
is compared, not the file that defines a name which it passes on. Printed are precision, recall, first differences.
"""

import argparse
import importlib.machinery
import json
import os
import re
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from repo_context.repository import Repository

Edge = tuple[str, str, str]
"""Importing file, module as it is written, file that it stands for."""

_SHOWN = 12


def main() -> None:
    """Compare and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("language", choices=sorted(_TOOLS))
    parser.add_argument("repositories", nargs="+", type=Path)
    arguments = parser.parse_args()
    for root in arguments.repositories:
        with tempfile.TemporaryDirectory() as folder, Repository.open(root, index_folder=Path(folder)) as repository:
            compare(arguments.language, repository)


def compare(language: str, repository: Repository) -> None:
    """Print how the imports of one repository agree."""
    endings, ask = _TOOLS[language]
    paths = [file.path for file in repository.files() if file.path.endswith(endings)]
    ours = set(_our_edges(repository, paths))
    theirs = set(ask(repository, paths))
    if language == "c":
        # The compiler names all that a source file reads, through whatever it includes.
        sources, depends_on = {path for path, _, _ in theirs}, repository.depends_on()
        ours = {(path, "", target) for path in sources for target in _reached(depends_on, path)}
    if language == "go":
        ours = {(_folder(path), module, _folder(target)) for path, module, target in ours}
    both = len(ours & theirs)
    print(
        f"{language} {repository.root.name}: {len(paths)} files, {len(ours)} imports led to files here,"
        f" {len(theirs)} by the tool; precision {100 * both / max(len(ours), 1):.1f} %,"
        f" recall {100 * both / max(len(theirs), 1):.1f} %"
    )
    for title, edges in (("here alone", ours - theirs), ("by the tool alone", theirs - ours)):
        print(f"  {title}: {len(edges)}")
        for edge in sorted(edges)[:_SHOWN]:
            print("    ", *edge)


def _our_edges(repository: Repository, paths: list[str]) -> Iterator[Edge]:
    graph = repository.ranking_index().graph
    for path in paths:
        for item in graph.imports_of(path):
            stem = item.target.rpartition("/")[2].partition(".")[0]
            # A submodule is what its name stands for, also where its package imports it by that name.
            named = any(imported.name == stem for imported in item.statement.names) and path.endswith(".py")
            if item.statement.line >= 0:
                yield path, item.statement.module, item.target if named else (*item.through, item.target)[0]


def _modules(repository: Repository, path: str) -> list[str]:
    return sorted({statement.module for statement in repository.imports_in(path)})


# --- TypeScript -----------------------------------------------------------------------------------------------------

_RESOLVE = """
const ts = require("typescript"), path = require("path"), fs = require("fs");
const [root, asked] = JSON.parse(fs.readFileSync(0, "utf8"));
const options = new Map(), found = [];
function optionsOf(folder) {
  if (!options.has(folder)) {
    const config = path.join(folder, "tsconfig.json");
    let value;
    if (ts.sys.fileExists(config)) {
      value = ts.parseJsonConfigFileContent(ts.readConfigFile(config, ts.sys.readFile).config, ts.sys, folder).options;
    } else if (folder !== root && folder !== path.dirname(folder)) value = optionsOf(path.dirname(folder));
    else value = { moduleResolution: ts.ModuleResolutionKind.Bundler, module: ts.ModuleKind.ESNext };
    options.set(folder, { allowJs: true, resolveJsonModule: true, ...value });
  }
  return options.get(folder);
}
for (const [file, name] of asked) {
  const full = path.join(root, file);
  const result = ts.resolveModuleName(name, full, optionsOf(path.dirname(full)), ts.sys).resolvedModule;
  found.push(result ? path.relative(root, fs.realpathSync(result.resolvedFileName)) : null);
}
console.log(JSON.stringify(found));
"""


def _by_typescript(repository: Repository, paths: list[str]) -> Iterator[Edge]:
    asked = [(path, module) for path in paths for module in _modules(repository, path)]
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder).resolve() / "copy"
        subprocess.run(["cp", "-r", "--", str(repository.root), str(copy)], check=True)
        _link_packages(copy)
        given = json.dumps([str(copy), asked])
        answer = subprocess.run(["node", "-e", _RESOLVE], input=given, capture_output=True, text=True, check=True)
    known = {file.path for file in repository.files()}
    for (path, module), target in zip(asked, json.loads(answer.stdout), strict=True):
        if target in known:
            yield path, module, target


def _link_packages(root: Path) -> None:
    """Link the packages of a workspace into its node_modules, as a package manager does."""
    for manifest in sorted(root.rglob("package.json")):
        try:
            name = json.loads(manifest.read_text(encoding="utf-8")).get("name")
        except (ValueError, AttributeError):
            continue
        link = root / "node_modules" / str(name)
        if name and not link.exists() and "node_modules" not in manifest.relative_to(root).parts:
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(manifest.parent)


# --- Python ---------------------------------------------------------------------------------------------------------


def _by_python(repository: Repository, paths: list[str]) -> Iterator[Edge]:
    roots = [str(repository.root), str(repository.root / "src")]
    for path in paths:
        package = path.rpartition("/")[0].replace("/", ".").removeprefix("src.")
        for statement in repository.imports_in(path):
            module = _absolute(statement.module, package)
            for name in [imported.name for imported in statement.names] or [""]:
                found = (name and _found(f"{module}.{name}", roots)) or _found(module, roots)
                if found is not None and Path(found).is_relative_to(repository.root):
                    target = str(Path(found).relative_to(repository.root))
                    if target != path:
                        yield path, statement.module, target


def _absolute(module: str, package: str) -> str:
    level = len(module) - len(module.lstrip("."))
    if not level:
        return module
    parts = package.split(".")
    return ".".join([*parts[: len(parts) - level + 1], *filter(None, [module[level:]])])


def _found(module: str, roots: list[str]) -> str | None:
    """Return the file of a module as the interpreter finds it, without running anything."""
    places: list[str] | None = roots
    spec = None
    for part in module.split("."):
        if places is None:
            return None
        # The last part of a name is all that the finder looks for, and a whole one would need its parents imported.
        spec = importlib.machinery.PathFinder.find_spec(part, places)
        if spec is None:
            return None
        places = _places_in(spec)
    return spec.origin if spec is not None else None


def _places_in(spec: importlib.machinery.ModuleSpec) -> list[str] | None:
    locations: Any = spec.submodule_search_locations
    # A namespace package's own list would ask for its parents again.
    return None if locations is None else list(getattr(locations, "_path", locations))


# --- Go and C -------------------------------------------------------------------------------------------------------


def _by_go(repository: Repository, _: list[str]) -> Iterator[Edge]:
    environment = {**os.environ, "GOFLAGS": "-mod=readonly", "GOPROXY": "off", "GOTOOLCHAIN": "local"}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder).resolve() / "copy"
        subprocess.run(["cp", "-r", "--", str(repository.root), str(root)], check=True)
        for manifest in root.rglob("go.mod"):
            # Modules that are not here, and language versions that the tool does not know, would keep it from listing.
            own = re.search(r"^module .*$", manifest.read_text(encoding="utf-8"), re.MULTILINE)
            manifest.write_text(f"{own.group() if own else ''}\n", encoding="utf-8")
        answer = subprocess.run(
            ["go", "list", "-e", "-json=Dir,ImportPath,Imports,TestImports,XTestImports", "./..."],
            cwd=root, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
    decoder, packages, place = json.JSONDecoder(), [], 0
    while (place := answer.stdout.find("{", place)) >= 0:
        package, place = decoder.raw_decode(answer.stdout, place)
        packages.append(package)
    folder_of = {item["ImportPath"]: str(Path(item["Dir"]).relative_to(root)) for item in packages}
    for item in packages:
        for module in {*item.get("Imports", ()), *item.get("TestImports", ()), *item.get("XTestImports", ())}:
            if module in folder_of:
                yield folder_of[item["ImportPath"]], module, folder_of[module]


def _folder(path: str) -> str:
    return path.rpartition("/")[0] or "."


def _by_gcc(repository: Repository, paths: list[str]) -> Iterator[Edge]:
    root = repository.root
    for path in [path for path in paths if path.endswith(".c")]:
        command = ["gcc", "-MM", "-MG", "-I.", "-Isrc", "-Iinclude", path]
        answer = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
        for word in answer.stdout.replace("\\\n", " ").partition(":")[2].split():
            target = os.path.normpath(word)
            if target != path and (root / target).is_file():
                yield path, "", target


def _reached(depends_on: dict[str, list[str]], path: str) -> set[str]:
    reached: set[str] = set()
    pending = [path]
    while pending:
        further = set(depends_on.get(pending.pop(), ())) - reached
        reached |= further
        pending += further
    return reached - {path}


_TOOLS: dict[str, tuple[tuple[str, ...], Callable[[Repository, list[str]], Iterator[Edge]]]] = {
    "typescript": ((".ts", ".tsx", ".mts", ".cts", ".js", ".jsx", ".mjs", ".cjs"), _by_typescript),
    "python": ((".py",), _by_python),
    "go": ((".go",), _by_go),
    "c": ((".c", ".h"), _by_gcc),
}


if __name__ == "__main__":
    main()
