"""The extension's manifest and the server agree, and the locked packages name no registry."""

import json
import re
from dataclasses import fields
from enum import Enum
from pathlib import Path

import pytest

from lsp_server.capabilities import COMMANDS
from lsp_server.settings import NAMES, Settings
from tests.editors.midfill_command import CHECKOUT
from tests.editors.vscode import EXTENSION

MANIFEST = json.loads((EXTENSION / "package.json").read_text())
SETTINGS = MANIFEST["contributes"]["configuration"]["properties"]


def default_of(name: str) -> object:
    """Return the server's default of a setting, as JSON has it."""
    field = re.sub(r"[A-Z]", lambda letter: "_" + letter[0].lower(), name)
    value = {field.name: getattr(Settings(), field.name) for field in fields(Settings)}[field]
    if isinstance(value, Enum):
        return value.value
    return sorted(value) if isinstance(value, frozenset) else value


@pytest.mark.parametrize("name", NAMES)
def test_every_setting_of_the_server_is_described_with_its_default(name: str):
    assert SETTINGS[f"midfill.{name}"]["default"] == default_of(name)
    assert SETTINGS[f"midfill.{name}"]["description"]


def test_the_extension_has_no_settings_that_nobody_reads():
    ours = {"midfill.server.path", "midfill.server.source"}
    assert set(SETTINGS) - ours == {f"midfill.{name}" for name in NAMES}


def test_no_command_is_registered_twice():
    assert not {command["command"] for command in MANIFEST["contributes"]["commands"]} & set(COMMANDS)


@pytest.mark.parametrize(
    "lock", [EXTENSION / "package-lock.json", *(Path(__file__).parent / "install").rglob("package-lock.json")]
)
def test_locked_packages_come_from_whatever_registry_npm_is_set_to(lock: Path):
    packages = json.loads(lock.read_text())["packages"]
    assert not [name for name, package in packages.items() if "resolved" in package and not package.get("link")]
    assert all("integrity" in package for name, package in packages.items() if name)


def test_what_the_readme_shows_exists():
    shown = re.findall(r"\]\((docs/images/[^)]+)\)", (CHECKOUT / "README.md").read_text())
    assert shown
    for path in shown:
        assert (CHECKOUT / path).stat().st_size < 200_000
