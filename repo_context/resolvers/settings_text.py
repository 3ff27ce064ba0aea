"""Reads settings files that people write by hand: JSON with comments, and the few lines of TOML that we need."""

import json
import re
import tomllib
from collections.abc import Mapping

_JSON_COMMENT = re.compile(r'("(?:\\.|[^"\\])*")|//[^\n]*|/\*.*?\*/', re.DOTALL)
_JSON_LAST_COMMA = re.compile(r'("(?:\\.|[^"\\])*")|,(?=\s*[}\]])')


def read_json(text: str) -> object:
    """Read JSON with comments and trailing commas; what cannot be read is None.

    >>> read_json('{"a": [1, 2,], // the last comma is allowed\\n}')
    {'a': [1, 2]}
    """
    try:
        return json.loads(text)
    except ValueError:
        pass
    except RecursionError:
        return None
    for noise in (_JSON_COMMENT, _JSON_LAST_COMMA):
        text = noise.sub(lambda match: match.group(1) or "", text)
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def read_toml(text: str) -> Mapping[str, object]:
    """Read TOML; what cannot be read says nothing."""
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError):
        return {}


def mapping(value: object) -> Mapping[str, object]:
    """Return the value if it is a table, else an empty one."""
    return value if isinstance(value, dict) else {}


def texts(value: object) -> list[str]:
    """Return the texts in a list; of anything else, none."""
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def text(value: object) -> str:
    """Return the value if it is a text, else an empty one."""
    return value if isinstance(value, str) else ""
