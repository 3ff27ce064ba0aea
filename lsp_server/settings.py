"""What a user may set: raw options as a client sends them, and the settings they resolve to."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from enum import Enum
from typing import Any, Final

from engine.daemon_start import PRECISIONS
from engine.fim_formats import FORMATS

_FORMAT_NAMES: Final = ("auto", "suffix", *(fim.name for fim in FORMATS))

SECTION: Final = "midfill"
"""The section asked for with `workspace/configuration`."""


class LengthMode(Enum):
    """How long a suggestion may be; the value is the setting's spelling."""

    AUTO = "auto"
    """One line, but several where a block has just been opened and is still empty."""
    LINE = "line"
    """Never more than the rest of the line."""
    BLOCK = "block"
    """Several lines wherever the cursor stands at the end of a line."""


class Assertiveness(Enum):
    """How sure midfill must be of a suggestion before it shows it unasked; the value is the setting's spelling."""

    CALM = "calm"
    DEFAULT = "default"
    EAGER = "eager"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Resolved settings: every field has a value."""

    enabled: bool = True
    disabled_languages: frozenset[str] = frozenset()
    """Language ids as the client names them (`markdown`, `plaintext`)."""
    assertiveness: Assertiveness = Assertiveness.DEFAULT
    comments: bool = True
    """Whether anything is suggested unasked inside of comments."""
    strings: bool = True
    """Whether anything is suggested unasked inside of strings."""
    length: LengthMode = LengthMode.AUTO
    max_tokens: int = 48
    """Upper bound on the new tokens of one suggestion."""
    model: str = "default"
    """`default`, a name given with `midfill model add`, a model folder, a Hugging Face name in the local cache, or the
    address of a server."""
    engine_url: str = ""
    """Address of a completions server, up to and with `/v1`; takes the place of `model`."""
    engine_model: str = ""
    """The model as that server calls it; empty is the first one that it lists."""
    engine_format: str = "auto"
    """How that server's model marks prompts: `auto`, `suffix`, or a format's name."""
    precision: str = "auto"
    """How the engine holds weights on a CPU: `auto`, `float32`, `int8` or `int4`."""
    threads: int = 0
    """Threads that the engine computes with; 0 lets it choose."""
    repository_context: bool = True
    """Whether workspace folders are indexed and their snippets used."""
    snippet_budget: int = 512
    """Tokens of other files to look for; the prompt keeps what fits."""
    context_wait_ms: int = 150
    """Longest wait for snippets; past it a suggestion is made without them."""
    debounce_ms: int = 0
    """Least pause before the engine is asked, in which a newer request replaces an older one."""
    look_ahead: bool = True
    """Whether the engine is asked, while it is idle, what follows if the suggestion is accepted."""
    statistics: bool = True
    """Whether what becomes of suggestions is counted, on this machine."""

    @property
    def engine(self) -> tuple[str | int, ...]:
        """What decides which engine answers."""
        return (self.model, self.engine_url, self.engine_model, self.engine_format, self.precision, self.threads)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Raw options of one source, checked one by one; None where the source says nothing."""

    enabled: bool | None = None
    disabled_languages: frozenset[str] | None = None
    assertiveness: Assertiveness | None = None
    comments: bool | None = None
    strings: bool | None = None
    length: LengthMode | None = None
    max_tokens: int | None = None
    model: str | None = None
    engine_url: str | None = None
    engine_model: str | None = None
    engine_format: str | None = None
    precision: str | None = None
    threads: int | None = None
    repository_context: bool | None = None
    snippet_budget: int | None = None
    context_wait_ms: int | None = None
    debounce_ms: int | None = None
    look_ahead: bool | None = None
    statistics: bool | None = None


def decode(raw: object) -> tuple[Options, tuple[str, ...]]:
    """Read a client's JSON; return the options that make sense and one line on each that does not.

    Accepts the object itself or one that wraps it under `midfill`, as `workspace/didChangeConfiguration` often does.

    >>> decode({"midfill": {"maxToken": 9}})[1]
    ("unknown setting 'midfill.maxToken' is ignored; did you mean 'midfill.maxTokens'?",)
    """
    if raw is None:
        return Options(), ()
    if isinstance(raw, Mapping) and isinstance(raw.get(SECTION), Mapping):
        raw = raw[SECTION]
    if not isinstance(raw, Mapping):
        return Options(), (f"settings must be an object, not {_describe(raw)}; all of them are ignored",)
    values: dict[str, Any] = {}
    problems: list[str] = []
    for name, value in raw.items():
        if name in _CLIENTS_OWN:
            continue
        if name not in _READERS:
            problems.append(_unknown(str(name)))
            continue
        if value is None:
            continue
        field, reader, expected = _READERS[name]
        decoded = reader(value)
        if decoded is None:
            problems.append(f"setting '{SECTION}.{name}' must be {expected}, not {_describe(value)}; it is ignored")
        else:
            values[field] = decoded
    return Options(**values), tuple(problems)


def resolve(*sources: Options) -> Settings:
    """Lay options over the defaults; later sources win."""
    values = {
        field.name: value
        for source in sources
        for field in fields(source)
        if (value := getattr(source, field.name)) is not None
    }
    return Settings(**values)


def _flag(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


def _name(value: object) -> str | None:
    return value if isinstance(value, str) and value.strip() else None


def _text(value: object) -> str | None:
    return value.strip() if isinstance(value, str) else None


def _address(value: object) -> str | None:
    text = _text(value)
    return text if text == "" or (text or "").lower().startswith(("http://", "https://")) else None


def _format(value: object) -> str | None:
    return value if value in _FORMAT_NAMES and isinstance(value, str) else None


def _precision(value: object) -> str | None:
    return value if value in PRECISIONS and isinstance(value, str) else None


def _names(value: object) -> frozenset[str] | None:
    if isinstance(value, list) and all(isinstance(name, str) for name in value):
        return frozenset(value)
    return None


def _number(low: int, high: int) -> Callable[[object], int | None]:
    def read(value: object) -> int | None:
        # JSON knows one kind of number and Lua writes 8.0 for 8.
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
            return value
        return None

    return read


def _length(value: object) -> LengthMode | None:
    return next((mode for mode in LengthMode if mode.value == value), None)


def _assertiveness(value: object) -> Assertiveness | None:
    return next((mode for mode in Assertiveness if mode.value == value), None)


def _between(low: int, high: int) -> str:
    return f"a whole number from {low} to {high}"


_READERS: Final[Mapping[str, tuple[str, Callable[[object], object | None], str]]] = {
    "enabled": ("enabled", _flag, "true or false"),
    "disabledLanguages": ("disabled_languages", _names, "a list of language ids"),
    "assertiveness": ("assertiveness", _assertiveness, "'calm', 'default' or 'eager'"),
    "comments": ("comments", _flag, "true or false"),
    "strings": ("strings", _flag, "true or false"),
    "length": ("length", _length, "'auto', 'line' or 'block'"),
    "maxTokens": ("max_tokens", _number(1, 1024), _between(1, 1024)),
    "model": ("model", _name, "'default', a model's name or folder, or a server's address"),
    "engineUrl": ("engine_url", _address, "the http address of a server, or empty"),
    "engineModel": ("engine_model", _text, "a model's name, or empty"),
    "engineFormat": ("engine_format", _format, f"one of {', '.join(_FORMAT_NAMES)}"),
    "precision": ("precision", _precision, f"one of {', '.join(PRECISIONS)}"),
    "threads": ("threads", _number(0, 256), _between(0, 256)),
    "repositoryContext": ("repository_context", _flag, "true or false"),
    "snippetBudget": ("snippet_budget", _number(0, 32768), _between(0, 32768)),
    "contextWaitMs": ("context_wait_ms", _number(0, 5000), _between(0, 5000)),
    "debounceMs": ("debounce_ms", _number(0, 5000), _between(0, 5000)),
    "lookAhead": ("look_ahead", _flag, "true or false"),
    "statistics": ("statistics", _flag, "true or false"),
}

_CLIENTS_OWN: Final = ("server", "trace")
"""What the extension for VS Code, and the library it is made with, keep in the same section."""

NAMES: Final = tuple(_READERS)
"""Every setting, as a client spells it."""


def _unknown(name: str) -> str:
    by_spelling = {known.lower().replace("_", ""): known for known in _READERS}
    close = get_close_matches(name.lower().replace("_", ""), by_spelling, n=1, cutoff=0.6)
    advice = f"did you mean '{SECTION}.{by_spelling[close[0]]}'?" if close else f"known are {', '.join(_READERS)}"
    return f"unknown setting '{SECTION}.{name[:80]}' is ignored; {advice}"


def _describe(value: object) -> str:
    if isinstance(value, bool | str | int | float):
        text = json.dumps(value)
        return text if len(text) <= 60 else f"{text[:57]}..."
    return "an object" if isinstance(value, Mapping) else "a list" if isinstance(value, list) else "null"
