"""Running a language's own tool on a golden sample, to compare what it says with what is resolved here."""

import shutil
import subprocess

import pytest

from tests.support.import_samples import graph_of


def needs(*tools):
    """Skip a test, and say why, where one of the tools is missing."""
    missing = [tool for tool in tools if shutil.which(tool) is None]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")


def run(*command, cwd, env=None):
    """Run a tool and keep what it prints."""
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
