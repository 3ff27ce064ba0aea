"""What the names stand for that import statements bind: modules, or names in them."""

import re
from collections.abc import Iterable, Set
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
        for imported in item.statement.names:
            bindings.setdefault(imported.alias, []).append(_binding_of(item, imported.name))
        bound = _name_of_module(item)
        if bound:
            bindings.setdefault(bound, []).append(_binding_of_module(item))
    return bindings


def bindings_of_name(resolved: Iterable[ResolvedImport], name: str) -> list[Binding]:
    """Return what `bindings_of` has for one name."""
    found = []
    for item in resolved:
        found += [_binding_of(item, imported.name) for imported in item.statement.names if imported.alias == name]
        if _name_of_module(item) == name:
            found.append(_binding_of_module(item))
    return found


def _binding_of(item: ResolvedImport, name: str) -> Binding:
    is_module = item.target and _is_module_named(item.target, name, item.statement.module)
    return Binding(target=item.target, name="" if is_module else name)


def _name_of_module(item: ResolvedImport) -> str:
    """Return the name that an import binds beside those that it lists: the module's own, most often; else empty."""
    statement = item.statement
    if statement.alias or (statement.names and not item.target.endswith(".go")):
        return statement.alias
    return _last_part(_without_ending(statement.module))


def _binding_of_module(item: ResolvedImport) -> Binding:
    return Binding(
        target=item.target, name=_class_name(item.target, _last_part(_without_ending(item.statement.module)))
    )


def _without_ending(module: str) -> str:
    return module.removesuffix(".h").removesuffix(".hpp")


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
