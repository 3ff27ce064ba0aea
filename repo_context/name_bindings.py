"""What the names stand for that import statements bind: modules, or names in them."""

import re
from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass

from repo_context.import_graph import ResolvedImport
from repo_context.syntax import Import


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """What a name stands for in a file: a module, or a name in one."""

    target: str
    """Path of the file."""
    name: str
    """Empty: the module itself."""


def bindings_of(resolved: Iterable[ResolvedImport]) -> dict[str, list[Binding]]:
    """Return name → what imports bind it to."""
    bindings: dict[str, list[Binding]] = {}
    for item in resolved:
        for name, binding in _bound_names(item):
            bindings.setdefault(name, []).append(binding)
    return bindings


def _bound_names(item: ResolvedImport) -> Iterator[tuple[str, Binding]]:
    """Yield the names that an import binds in the importing file."""
    statement = item.statement
    for imported in statement.names:
        is_module = item.target and _is_module_named(item.target, imported.name, statement.module)
        yield imported.alias, Binding(target=item.target, name="" if is_module else imported.name)
    last = _last_part(statement.module.removesuffix(".h").removesuffix(".hpp"))
    bound = statement.alias or (last if not statement.names or item.target.endswith(".go") else "")
    if bound:
        yield bound, Binding(target=item.target, name=_class_name(item.target, last))


def _is_module_named(target: str, name: str, module: str) -> bool:
    """Say whether `from module import name` took a Python submodule, not a name inside the module."""
    if not target.endswith((".py", ".pyi")):
        return False
    stem = target.rpartition(".")[0].removesuffix("/__init__")
    return stem.rpartition("/")[2] == name and module.rpartition(".")[2] != name


def _class_name(target: str, last: str) -> str:
    """Return the class that an import names in languages that import classes, not modules; empty in others."""
    return last if target.endswith((".java", ".php")) else ""


def names_bound_by(imports: Iterable[Import], without_lines: Set[int]) -> set[str]:
    """Return the names that import statements bind, but for those of some lines."""
    names: set[str] = set()
    for statement in imports:
        if statement.line in without_lines:
            continue
        names.update(imported.alias for imported in statement.names)
        names.add(statement.alias or _last_part(statement.module))
    return names


_PART_OF_MODULE = re.compile(r"[./\\]|::")


def _last_part(module: str) -> str:
    return _PART_OF_MODULE.split(module)[-1]
