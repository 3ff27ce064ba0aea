"""`midfill stats`: what became of suggestions on this machine."""

import argparse
import json
from pathlib import Path

from engine.paths import state_folder
from lsp_server import stats_store
from lsp_server.stats_page import as_page
from lsp_server.stats_report import as_text, summarise
from lsp_server.verbs.complaints import BadInputError


def run(arguments: argparse.Namespace) -> int:
    """Print or write the figures; return the exit code."""
    if arguments.days is not None and arguments.days <= 0:
        raise BadInputError(f"--days must be more than 0, and it is {arguments.days:g}")
    path = stats_store.path_in(state_folder())
    summary = summarise(path, days=arguments.days)
    if arguments.html is not None:
        target = Path(arguments.html)
        try:
            target.write_text(as_page(summary), encoding="utf-8")
        except OSError as error:
            raise BadInputError(f"cannot write {target}: {error.strerror}") from error
        print(f"{target} written; open it in a browser")
    elif arguments.json:
        print(json.dumps(summary, indent=2))
    else:
        print(as_text(summary))
        print(f"\ncounted in {path}; delete it whenever you like")
    return 0
