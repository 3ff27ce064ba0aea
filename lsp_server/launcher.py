"""The console script's door; in the wheel this file is `midfill/__init__.py` and the packages lie beside it."""

import sys
from pathlib import Path


def main() -> int:
    """Run the command line; returns the exit code."""
    packages = Path(__file__).resolve().parent / "packages"
    if packages.is_dir():
        sys.path.insert(0, str(packages))
    from lsp_server.__main__ import main as run

    return run()
