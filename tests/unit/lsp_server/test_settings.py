import re
from pathlib import Path

import pytest

from lsp_server.settings import NAMES, LengthMode, Options, Settings, decode, resolve

DOCUMENTATION = Path(__file__).parents[3] / "docs" / "settings.md"


@pytest.mark.parametrize(
    "raw", [None, {}, {"midfill": {}}, {"maxTokens": None}, {"server": {"path": "/bin/midfill"}, "trace": {}}]
)
def test_saying_nothing_leaves_the_defaults(raw):
    options, problems = decode(raw)
    assert resolve(options) == Settings()
    assert problems == ()


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({"enabled": False}, Settings(enabled=False)),
        ({"midfill": {"maxTokens": 12}}, Settings(max_tokens=12)),
        ({"maxTokens": 12.0}, Settings(max_tokens=12)),
        ({"length": "block"}, Settings(length=LengthMode.BLOCK)),
        ({"disabledLanguages": ["markdown"]}, Settings(disabled_languages=frozenset({"markdown"}))),
        ({"model": "/models/x", "threads": 3}, Settings(model="/models/x", threads=3)),
    ],
)
def test_known_settings_apply(raw, expected):
    options, problems = decode(raw)
    assert resolve(options) == expected
    assert problems == ()


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        ({"maxToken": 1}, "unknown setting 'midfill.maxToken' is ignored; did you mean 'midfill.maxTokens'?"),
        ({"max_tokens": 1}, "unknown setting 'midfill.max_tokens' is ignored; did you mean 'midfill.maxTokens'?"),
        ({"MaxTokens": 1}, "unknown setting 'midfill.MaxTokens' is ignored; did you mean 'midfill.maxTokens'?"),
        ({"enabled": "yes"}, "setting 'midfill.enabled' must be true or false, not \"yes\"; it is ignored"),
        ({"maxTokens": 0}, "setting 'midfill.maxTokens' must be a whole number from 1 to 1024, not 0; it is ignored"),
        ({"maxTokens": True}, "must be a whole number from 1 to 1024, not true"),
        ({"maxTokens": 1.5}, "must be a whole number from 1 to 1024, not 1.5"),
        ({"length": "long"}, "must be 'auto', 'line' or 'block', not \"long\""),
        ({"disabledLanguages": "python"}, 'must be a list of language ids, not "python"'),
        ({"disabledLanguages": [1]}, "must be a list of language ids, not a list"),
        ({"model": {"a": 1}}, "not an object"),
        ({"model": "  "}, "must be 'default', a model's name or folder, or a server's address"),
        ({"engineUrl": "localhost:8000"}, "must be the http address of a server, or empty"),
        ({"precision": "int2"}, "must be one of auto, float32, int8, int4"),
        ({"engineFormat": "nonsense"}, "must be one of auto, suffix, deepseek-coder"),
        ([], "settings must be an object, not a list"),
        (7, "settings must be an object, not 7"),
    ],
)
def test_a_setting_that_makes_no_sense_is_named_in_one_line_and_the_default_stays(raw, problem):
    options, problems = decode(raw)
    assert resolve(options) == Settings()
    assert len(problems) == 1
    assert problem in problems[0]
    assert "\n" not in problems[0]


def test_a_setting_that_makes_no_sense_does_not_stop_the_others():
    options, problems = decode({"nonsense": 1, "maxTokens": "x", "threads": 2})
    assert resolve(options) == Settings(threads=2)
    assert len(problems) == 2


def test_an_unknown_name_is_quoted_in_bounded_length():
    _, [problem] = decode({"x" * 10_000: 1})
    assert len(problem) < 400


def test_later_sources_win_field_by_field():
    first, _ = decode({"threads": 1, "maxTokens": 10})
    second, _ = decode({"threads": 2})
    assert resolve(first, second) == Settings(threads=2, max_tokens=10)
    assert resolve(first, Options()) == Settings(threads=1, max_tokens=10)


def test_every_setting_is_documented():
    assert set(re.findall(r"^### `midfill\.(\w+)`", DOCUMENTATION.read_text(), re.MULTILINE)) == set(NAMES)
