"""The floors of the house, stated in pyproject.toml and held here."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINTER = "import sys; from importlinter.cli import lint_imports_command as run; sys.exit(run())"


def _lint(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", LINTER, "--no-cache"]
    return subprocess.run(command, cwd=folder, text=True, capture_output=True, check=False)


def test_the_import_contracts_are_kept() -> None:
    result = _lint(ROOT)
    assert result.returncode == 0, result.stdout + result.stderr


BREACHES = {
    "repo_context/breach.py": "import engine.api",
    "engine/breach.py": "import repo_context.snippet",
    "train/breach.py": "import lsp_server.settings",
    "lsp_server/breach.py": "import torch",
    "lsp_server/completion/breach.py": "import lsprotocol.types",
    "engine/model/breach.py": "import engine.prompt",
    "engine/compiled_code.py": "import engine.paths",
}


@pytest.mark.parametrize("path", BREACHES)
def test_each_contract_notices_a_breach(path: str, tmp_path: Path) -> None:
    for name in ("engine", "lsp_server", "repo_context", "train", "pyproject.toml"):
        _copy(ROOT / name, tmp_path / name)
    (tmp_path / path).write_text(f'"""A breach."""\n\n{BREACHES[path]}\n')
    result = _lint(tmp_path)
    assert result.returncode != 0
    assert "BROKEN" in result.stdout


def _copy(source: Path, target: Path) -> None:
    """Copy Python files only: weights are large, and the linter reads none."""
    files = [source] if source.is_file() else [*source.rglob("*.py")]
    for file in files:
        copy = target / file.relative_to(source) if source.is_dir() else target
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(file.read_bytes())
