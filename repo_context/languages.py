"""Which language a file is written in, its comment marker, and its grammar, loaded when first needed.

Every grammar comes from its official wheel, so parsing works with the network cut. A grammar that cannot be
loaded raises `GrammarMissingError`; callers report it, and index the file as plain text.
"""

import importlib
import re
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files

from tree_sitter import Language as TreeSitterLanguage
from tree_sitter import Query

from repo_context.errors import GrammarMissingError

DEFAULT_COMMENT = "#"
"""The comment marker of a file whose language is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grammar:
    """Where a tree-sitter grammar and our query for it are found."""

    module: str
    """Import name of the grammar's wheel."""
    function: str = "language"
    """The function in `module` that returns the grammar."""
    query: str
    """Name of a file in `repo_context/queries`, without the extension.

    A first line `; inherits: NAME` puts another file before it. What follows a line `; References` finds the names that
    a file uses.
    """
    reach: int | None = None
    """How far below the top of the tree definitions and imports start that are found at once; None: anywhere.

    Deeper ones are those of classes in classes, and those that `deeper` finds. A shallow search is many times faster.
    """
    deeper: bytes | None = None
    """Finds statements that may be definitions or imports below `reach`; a match ends with their first byte."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Language:
    """A language that files are written in."""

    name: str
    comment: str
    """Line-comment marker; where a language has none, the marker that starts its block comment."""
    grammar: Grammar | None = None
    """None: files are searched as text, but not parsed."""


_PYTHON = Grammar(
    module="tree_sitter_python",
    query="python",
    reach=4,
    deeper=rb"\n[ \t]+(?=(?:def|async|class|import|from|type)[ \t]).",
)

PARSED_LANGUAGES: tuple[Language, ...] = (
    Language(name="python", comment="#", grammar=_PYTHON),
    Language(name="javascript", comment="//", grammar=Grammar(module="tree_sitter_javascript", query="javascript")),
    Language(
        name="typescript",
        comment="//",
        grammar=Grammar(module="tree_sitter_typescript", function="language_typescript", query="typescript"),
    ),
    Language(
        name="tsx",
        comment="//",
        grammar=Grammar(module="tree_sitter_typescript", function="language_tsx", query="tsx"),
    ),
    Language(name="java", comment="//", grammar=Grammar(module="tree_sitter_java", query="java", reach=5)),
    Language(name="go", comment="//", grammar=Grammar(module="tree_sitter_go", query="go")),
    Language(name="rust", comment="//", grammar=Grammar(module="tree_sitter_rust", query="rust")),
    Language(name="c", comment="//", grammar=Grammar(module="tree_sitter_c", query="c")),
    Language(name="cpp", comment="//", grammar=Grammar(module="tree_sitter_cpp", query="cpp")),
    Language(name="csharp", comment="//", grammar=Grammar(module="tree_sitter_c_sharp", query="csharp")),
    Language(name="ruby", comment="#", grammar=Grammar(module="tree_sitter_ruby", query="ruby")),
    Language(
        name="php",
        comment="//",
        grammar=Grammar(module="tree_sitter_php", function="language_php", query="php"),
    ),
    Language(name="bash", comment="#", grammar=Grammar(module="tree_sitter_bash", query="bash")),
    Language(name="kotlin", comment="//", grammar=Grammar(module="tree_sitter_kotlin", query="kotlin")),
    Language(name="swift", comment="//", grammar=Grammar(module="tree_sitter_swift", query="swift")),
    Language(name="scala", comment="//", grammar=Grammar(module="tree_sitter_scala", query="scala")),
    Language(name="lua", comment="--", grammar=Grammar(module="tree_sitter_lua", query="lua")),
    # The code cells of a notebook (`repo_context.notebook`), which are Python.
    Language(name="jupyter", comment="#", grammar=_PYTHON),
)
"""Languages whose definitions, references and imports are read."""

TEXT_LANGUAGES: tuple[Language, ...] = (
    Language(name="dart", comment="//"),
    Language(name="groovy", comment="//"),
    Language(name="objective-c", comment="//"),
    Language(name="fsharp", comment="//"),
    Language(name="zig", comment="//"),
    Language(name="d", comment="//"),
    Language(name="solidity", comment="//"),
    Language(name="protobuf", comment="//"),
    Language(name="cuda", comment="//"),
    Language(name="glsl", comment="//"),
    Language(name="verilog", comment="//"),
    Language(name="vue", comment="//"),
    Language(name="svelte", comment="//"),
    Language(name="css", comment="/*"),
    Language(name="scss", comment="//"),
    Language(name="less", comment="//"),
    Language(name="html", comment="<!--"),
    Language(name="xml", comment="<!--"),
    Language(name="markdown", comment="<!--"),
    Language(name="restructuredtext", comment=".."),
    Language(name="sql", comment="--"),
    Language(name="haskell", comment="--"),
    Language(name="elm", comment="--"),
    Language(name="ada", comment="--"),
    Language(name="vhdl", comment="--"),
    Language(name="ocaml", comment="(*"),
    Language(name="lisp", comment=";"),
    Language(name="clojure", comment=";"),
    Language(name="scheme", comment=";"),
    Language(name="assembly", comment=";"),
    Language(name="ini", comment=";"),
    Language(name="erlang", comment="%"),
    Language(name="latex", comment="%"),
    Language(name="matlab", comment="%"),
    Language(name="fortran", comment="!"),
    Language(name="vim", comment='"'),
    Language(name="graphql", comment="#"),
    Language(name="terraform", comment="#"),
    Language(name="elixir", comment="#"),
    Language(name="julia", comment="#"),
    Language(name="nim", comment="#"),
    Language(name="perl", comment="#"),
    Language(name="powershell", comment="#"),
    Language(name="r", comment="#"),
    Language(name="cython", comment="#"),
    Language(name="toml", comment="#"),
    Language(name="yaml", comment="#"),
    Language(name="json", comment="//"),
    Language(name="dockerfile", comment="#"),
    Language(name="makefile", comment="#"),
    Language(name="cmake", comment="#"),
    Language(name="text", comment="#"),
)
"""Languages whose files are searched as text only."""

_EXTENSIONS: dict[str, str] = {
    "python": "py pyi pyw",
    "javascript": "js jsx mjs cjs",
    "typescript": "ts mts cts",
    "tsx": "tsx",
    "java": "java",
    "go": "go",
    "rust": "rs",
    "c": "c",
    # Headers go to the C++ grammar: it parses C headers better than the C grammar parses C++ ones.
    "cpp": "cc cpp cxx c++ h hh hpp hxx h++ inl ipp tpp",
    "csharp": "cs",
    "ruby": "rb rake gemspec ru",
    "php": "php phtml",
    "bash": "sh bash zsh ksh bats",
    "jupyter": "ipynb",
    "kotlin": "kt kts",
    "swift": "swift",
    "scala": "scala sc sbt",
    "dart": "dart",
    "groovy": "groovy gradle",
    "objective-c": "m mm",
    "fsharp": "fs fsi fsx",
    "zig": "zig",
    "d": "d",
    "solidity": "sol",
    "protobuf": "proto",
    "cuda": "cu cuh",
    "glsl": "glsl vert frag comp",
    "verilog": "v sv svh",
    "vue": "vue",
    "svelte": "svelte",
    "css": "css",
    "scss": "scss sass",
    "less": "less",
    "html": "html htm j2 jinja jinja2",
    "xml": "xml xsd xsl",
    "markdown": "md mdx markdown",
    "restructuredtext": "rst",
    "lua": "lua",
    "sql": "sql",
    "haskell": "hs",
    "elm": "elm",
    "ada": "adb ads",
    "vhdl": "vhd vhdl",
    "ocaml": "ml mli",
    "lisp": "lisp el cl",
    "clojure": "clj cljs cljc edn",
    "scheme": "scm ss rkt",
    "assembly": "asm s",
    "ini": "ini cfg conf",
    "erlang": "erl hrl",
    "latex": "tex sty bib",
    "fortran": "f f90 f95 f03 f08",
    "vim": "vim",
    "graphql": "graphql gql",
    "terraform": "tf hcl",
    "elixir": "ex exs",
    "julia": "jl",
    "nim": "nim",
    "perl": "pl pm",
    "powershell": "ps1 psm1 psd1",
    "r": "r",
    "cython": "pyx pxd pxi",
    "toml": "toml",
    "yaml": "yaml yml",
    "json": "json jsonc json5",
    "makefile": "mk",
    "cmake": "cmake",
    "text": "txt",
}

_FILE_NAMES: dict[str, str] = {
    "dockerfile": "dockerfile",
    "containerfile": "dockerfile",
    "makefile": "makefile",
    "gnumakefile": "makefile",
    "cmakelists.txt": "cmake",
    "rakefile": "ruby",
    "gemfile": "ruby",
    "podfile": "ruby",
    "vagrantfile": "ruby",
    "go.mod": "text",
    "go.work": "text",
    "sconstruct": "python",
    "sconscript": "python",
    ".bashrc": "bash",
    ".bash_profile": "bash",
    ".profile": "bash",
    ".zshrc": "bash",
    ".editorconfig": "ini",
}

_BY_NAME: dict[str, Language] = {language.name: language for language in PARSED_LANGUAGES + TEXT_LANGUAGES}
_BY_EXTENSION: dict[str, Language] = {
    extension: _BY_NAME[name] for name, extensions in _EXTENSIONS.items() for extension in extensions.split()
}


@lru_cache(maxsize=1 << 16)
def language_of(path: str) -> Language | None:
    """Return the language of a path by its file name or extension; None when neither says.

    >>> language_of("src/app/main.py").name
    'python'
    >>> language_of("notes.unknown") is None
    True
    """
    name = path.rpartition("/")[2].lower()
    if name in _FILE_NAMES:
        return _BY_NAME[_FILE_NAMES[name]]
    stem, dot, extension = name.rpartition(".")
    return _BY_EXTENSION.get(extension) if dot and stem else None


_FAMILIES = {"typescript": "script", "tsx": "script", "javascript": "script", "vue": "script", "svelte": "script"}
_FAMILIES |= {"c": "c", "cpp": "c", "cuda": "c", "python": "python", "cython": "python", "jupyter": "python"}
_FAMILIES |= {"java": "jvm", "kotlin": "jvm", "scala": "jvm", "groovy": "jvm"}


def family_of(path: str) -> str:
    """Return a name that languages share whose files can use each other's definitions; empty when unknown.

    >>> family_of("a.tsx") == family_of("b.js"), family_of("a.h") == family_of("b.py")
    (True, False)
    """
    language = language_of(path)
    return _FAMILIES.get(language.name, language.name) if language else ""


def language_named(name: str) -> Language:
    """Return the language with this name; `KeyError` when there is none."""
    return _BY_NAME[name]


def comment_marker(path: str) -> str:
    """Return the comment marker of a path's language, `#` when it is not known.

    >>> comment_marker("lib/tree.rs"), comment_marker("LICENSE")
    ('//', '#')
    """
    language = language_of(path)
    return language.comment if language else DEFAULT_COMMENT


@cache
def load_grammar(grammar: Grammar) -> TreeSitterLanguage:
    """Load a grammar once per process; `GrammarMissingError` when its wheel is missing or does not fit."""
    try:
        module = importlib.import_module(grammar.module)
        return TreeSitterLanguage(getattr(module, grammar.function)())
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        package = grammar.module.replace("_", "-")
        raise GrammarMissingError(
            f"cannot load the grammar of {grammar.query}: run `pip install {package}` ({error})"
        ) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Queries:
    """What is looked for in a tree."""

    structure: Query
    """Definitions and imports."""
    references: Query
    """Names used."""


@cache
def load_query(grammar: Grammar) -> Queries:
    """Compile our queries for a grammar once per process; raises like `load_grammar`."""
    language = load_grammar(grammar)
    structure, references = _query_parts(grammar.query)
    return Queries(structure=Query(language, structure), references=Query(language, references))


def query_source(grammar: Grammar) -> str:
    """Return the text of our query for a grammar."""
    return "\n".join(_query_parts(grammar.query))


@cache
def _query_parts(name: str) -> tuple[str, str]:
    """Return what finds definitions and imports, and what finds names used, each after what the file inherits."""
    text = (files("repo_context") / "queries" / f"{name}.scm").read_text(encoding="utf-8")
    structure, heading, references = text.partition("; References")
    inherited = re.match(r"; inherits: (\w+)", text)
    before = _query_parts(inherited.group(1)) if inherited else ("", "")
    return f"{before[0]}{structure}", f"{before[1]}{heading}{references}"


def missing_grammars() -> tuple[str, ...]:
    """Return one message for each language that should be parsed but whose grammar cannot be loaded."""
    messages = []
    for language in PARSED_LANGUAGES:
        if language.grammar is None:
            continue
        try:
            load_grammar(language.grammar)
        except GrammarMissingError as error:
            messages.append(str(error))
    return tuple(messages)
