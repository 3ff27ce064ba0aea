"""`python -P -m lsp_server`: sends each verb to the package that knows it."""

import os
import sys
from importlib import import_module


def main() -> int:
    """Run the command line in `sys.argv`; returns the exit code."""
    # Editors start us inside the user's repository: no process of ours may import from there, children included.
    os.environ["PYTHONSAFEPATH"] = "1"
    verb, arguments = sys.argv[1:2], sys.argv[1:]
    # `train` sits on the same floor and is reached by name alone: neither package imports the other.
    if verb == ["train"]:
        return int(import_module("train.cli").main(arguments[1:]) or 0)
    return int(import_module("lsp_server.cli").main(arguments))


if __name__ == "__main__":
    sys.exit(main())
