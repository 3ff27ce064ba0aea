"""How the imports of each language lead to files of the repository; a language is one class here."""

import re
from collections.abc import Mapping

from repo_context.resolvers.bash import BashResolver
from repo_context.resolvers.c import CResolver, build_settings
from repo_context.resolvers.csharp import CSharpResolver
from repo_context.resolvers.file_table import FileTable, ResolvedImport, SourceFile, exported_names
from repo_context.resolvers.go import GoResolver
from repo_context.resolvers.javascript import JavaScriptResolver
from repo_context.resolvers.jvm import JvmResolver
from repo_context.resolvers.lua import LuaResolver
from repo_context.resolvers.php import PhpResolver
from repo_context.resolvers.python import PythonResolver
from repo_context.resolvers.resolver import Resolver
from repo_context.resolvers.ruby import RubyResolver
from repo_context.resolvers.rust import RustResolver
from repo_context.resolvers.swift import SwiftResolver

__all__ = [
    "RESOLVERS",
    "FileTable",
    "ResolvedImport",
    "Resolver",
    "SourceFile",
    "build_settings",
    "exported_names",
    "is_settings_file",
]

RESOLVERS: Mapping[str, type[Resolver]] = {
    "python": PythonResolver,
    "jupyter": PythonResolver,
    "javascript": JavaScriptResolver,
    "typescript": JavaScriptResolver,
    "tsx": JavaScriptResolver,
    "java": JvmResolver,
    "kotlin": JvmResolver,
    "scala": JvmResolver,
    "c": CResolver,
    "cpp": CResolver,
    "csharp": CSharpResolver,
    "go": GoResolver,
    "rust": RustResolver,
    "ruby": RubyResolver,
    "php": PhpResolver,
    "swift": SwiftResolver,
    "bash": BashResolver,
    "lua": LuaResolver,
}
"""Name of the language → its rules."""

_SETTINGS = re.compile(
    r"(?:^|/)(?:tsconfig[^/]*\.json|jsconfig[^/]*\.json|package\.json|composer\.json|compile_commands\.json"
    r"|Cargo\.toml|go\.mod|go\.work|Package\.swift)$"
)


def is_settings_file(path: str) -> bool:
    """Say whether the text of a file helps to resolve imports.

    >>> is_settings_file("web/tsconfig.base.json"), is_settings_file("go.sum")
    (True, False)
    """
    return _SETTINGS.search(path) is not None
