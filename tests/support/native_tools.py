"""Running a language's own tool on a golden sample, to compare what it says with what is resolved here."""

import os
import shutil
import subprocess
from functools import wraps
from pathlib import Path

import pytest

from tests.support.import_samples import graph_of

EXTENSION_TOOLS = Path(__file__).parents[2] / "editors" / "vscode" / "node_modules" / ".bin"
"""What builds the extension for VS Code (`make vscode`); TypeScript's compiler is there."""


def place_of(tool):
    """Return where a tool is: in a folder that MIDFILL_TOOLS names, on the PATH, or beside the extension; or None."""
    folders = [os.environ.get("MIDFILL_TOOLS", ""), os.environ.get("PATH", ""), str(EXTENSION_TOOLS)]
    return shutil.which(tool, path=os.pathsep.join(folder for folder in folders if folder))


def needs(*tools):
    """Skip a test, and say why, where one of the tools is missing when it runs: earlier tests install some."""

    def skipping(test):
        @wraps(test)
        def run_with_tools(*arguments, **named):
            missing = [tool for tool in tools if place_of(tool) is None]
            if missing:
                pytest.skip(f"neither on PATH, in MIDFILL_TOOLS nor beside the extension: {', '.join(missing)}")
            return test(*arguments, **named)

        return run_with_tools

    return skipping


def run(tool, *arguments, cwd, env=None):
    """Run a tool and keep what it prints."""
    command = [place_of(tool) or tool, *arguments]
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)


def our_edges(files, endings):
    """Return the pairs of files (importing, imported) of a sample, both with one of the endings."""
    graph = graph_of(files)
    return {
        (path, target)
        for path, targets in graph.depends_on().items()
        for target in targets
        if path.endswith(endings) and target.endswith(endings)
    }


def edges_below(root, text):
    """Return the pairs of files below a root that lines of `from<tab>to` name."""
    pairs = [line.split("\t") for line in text.splitlines() if line.count("\t") == 1]
    prefix = f"{root}/"
    return {
        (one.removeprefix(prefix), other.removeprefix(prefix))
        for one, other in pairs
        if one.startswith(prefix) and other.startswith(prefix)
    }
