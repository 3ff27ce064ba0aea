"""The `midfill` command: which verbs there are and what each takes; the verbs themselves are loaded when asked for."""

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

from lsp_server import VERSION

_DESCRIPTION = "Inline completions from a model on your own machine that knows your whole repository."
_PLACE = "a file and a place in it; LINE and COL count from 1, COL in characters: 1 is before the first one"
_MODEL = "a name of `midfill model list`, a model folder, a Hugging Face name or an address (default: %(default)s)"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit code: 0 done, 1 something is wrong with the installation, 2 bad input."""
    arguments = _parser().parse_args(argv)
    if arguments.verb is None:
        _parser().print_help()
        return 0
    from lsp_server.verbs.complaints import complaints_as_exit_code

    with complaints_as_exit_code() as outcome:
        outcome.code = import_module(f"lsp_server.verbs.{arguments.verb}").run(arguments)
    return outcome.code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="midfill", description=_DESCRIPTION)
    parser.add_argument("--version", action="version", version=f"midfill {VERSION}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB")

    index = verbs.add_parser("index", help="index a repository", description="Index a repository, offline.")
    index.add_argument("path", metavar="PATH", nargs="?", default=".", help="the repository's folder")
    index.add_argument("--json", action="store_true", help="print the summary as JSON")

    context = verbs.add_parser(
        "context", help="show what a completion would know of other files",
        description="Print which snippets of the repository would go into the prompt at a cursor, and why.",
    )  # fmt: skip
    context.add_argument("place", metavar="FILE:LINE:COL", help=_PLACE)
    context.add_argument("--model", default="default", help=_MODEL)
    context.add_argument("--budget", type=int, default=512, metavar="TOKENS", help="room for snippets (default: 512)")
    context.add_argument("--prompt", action="store_true", help="print what the model is sent, too")
    context.add_argument("--json", action="store_true", help="print JSON, with the prompt")

    graph = verbs.add_parser(
        "graph", help="show which file imports which",
        description="Print or draw the import graph of a repository, dependencies before what depends on them.",
    )  # fmt: skip
    graph.add_argument("path", metavar="PATH", nargs="?", default=".", help="the repository's folder")
    graph.add_argument(
        "--format", choices=["text", "json", "dot", "mermaid", "svg", "html"], default="text",
        help="html is a page to look around in, svg a picture (default: text)",
    )  # fmt: skip
    graph.add_argument("--output", metavar="FILE", help="write there instead of to standard output")
    graph.add_argument("--all", action="store_true", help="list files too that neither import nor are imported")

    complete = verbs.add_parser(
        "complete", help="print the completion that an editor would show",
        description="Print the completion that an editor would show at a cursor, through the same engine.",
    )  # fmt: skip
    complete.add_argument("place", metavar="FILE:LINE:COL", help=_PLACE)
    complete.add_argument("--model", default="default", help=_MODEL)
    complete.add_argument("--block", action="store_true", help="complete several lines")
    complete.add_argument(
        "--erase-line-rest", action="store_true",
        help="forget the rest of that line first, and show it beside what the model wrote",
    )  # fmt: skip
    complete.add_argument("--max-tokens", type=int, default=48, metavar="N", help="at most N new tokens (default: 48)")
    complete.add_argument("--json", action="store_true", help="print JSON, with the milliseconds of every hop")

    doctor = verbs.add_parser(
        "doctor", help="say what is installed, what would be used, and what is wrong",
        description="Check the installation; the exit code is 1 where something is wrong.",
    )  # fmt: skip
    doctor.add_argument("--model", default="default", help=_MODEL)
    doctor.add_argument("--json", action="store_true", help="print JSON")

    stats = verbs.add_parser(
        "stats", help="show what became of suggestions",
        description="Show how much is accepted, how much of it stays, and how long answers take. Counted locally only.",
    )  # fmt: skip
    stats.add_argument("--days", type=float, metavar="N", help="look back N days (default: all that is kept)")
    stats.add_argument("--json", action="store_true", help="print JSON")
    stats.add_argument("--html", metavar="FILE", help="write one self-contained page with charts")

    lsp = verbs.add_parser(
        "lsp", help="run the language server (editors start this)",
        description="Serve one editor over standard input and output, or over a loopback connection.",
    )  # fmt: skip
    lsp.add_argument("--stdio", action="store_true", help="use standard input and output (the default)")
    lsp.add_argument("--socket", type=int, metavar="PORT", help="wait for one connection on 127.0.0.1:PORT instead")

    _add_model(verbs)
    _add_engine(verbs)

    ask = verbs.add_parser(
        "ask", help="have an instruct model change some lines, and print the difference",
        description="Print a unified diff that changes lines of a file as an instruction says. Nothing is written "
        "without --apply.",
    )  # fmt: skip
    ask.add_argument("place", metavar="FILE:START-END", help="a file and the lines to change, counted from 1")
    ask.add_argument("instruction", metavar="INSTRUCTION", help="what to do with them")
    ask.add_argument("--model", default="default", help=_MODEL)
    ask.add_argument("--max-tokens", type=int, default=1024, metavar="N", help="at most N new tokens (default: 1024)")
    ask.add_argument("--apply", action="store_true", help="write the change to the file too")
    ask.add_argument("--json", action="store_true", help="print JSON")

    verbs.add_parser("train", help="train a model (see `midfill train --help`)", add_help=False)
    return parser


def _add_model(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    model = verbs.add_parser("model", help="list, add, choose, describe and download models")
    actions = model.add_subparsers(dest="action", metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="list the models by name; * marks the default")
    add = actions.add_parser("add", help="name a model folder, a Hugging Face name, or the address of a server")
    add.add_argument("name", metavar="NAME")
    add.add_argument("source", metavar="PATH_OR_URL", help="a server's address goes up to and with /v1")
    add.add_argument("--server-model", default="", metavar="MODEL", help="as the server calls it (default: its first)")
    add.add_argument("--format", default="auto", help="a fill-in-the-middle format, 'suffix' or 'auto' (servers only)")
    add.add_argument(
        "--prompt-tokens", type=int, default=2048, metavar="N", help="longest prompt for a server (default: 2048)"
    )
    use = actions.add_parser("use", help="make a model the default")
    use.add_argument("name", metavar="NAME", help="'built-in' is the model that comes with midfill")
    info = actions.add_parser("info", help="say what a model is and what it needs")
    info.add_argument("name", metavar="NAME", nargs="?", default="default")
    get = actions.add_parser("get", help="download a model from the Hugging Face hub, or from HF_ENDPOINT")
    get.add_argument("name", metavar="NAME", help="organisation/model")
    get.add_argument("--revision", default="main", help="a branch, tag or commit (default: main)")
    get.add_argument("--register", metavar="NAME", help="add it under this name too")
    quantise = actions.add_parser("quantise", help="write a model folder with its matrices in 8 or 4 bits")
    quantise.add_argument("name", metavar="NAME", help="a registered name, a folder, or a Hugging Face name")
    quantise.add_argument("output", metavar="OUTPUT", help="a folder that does not exist yet")
    quantise.add_argument("--bits", type=int, choices=(8, 4), default=8, help="of a weight (default: 8)")
    remove = actions.add_parser("remove", help="forget a name; files stay")
    remove.add_argument("name", metavar="NAME")
    for action in (listing, info, get):
        action.add_argument("--json", action="store_true", help="print JSON")


def _add_engine(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    engine = verbs.add_parser("engine", help="show, stop or run the engine processes")
    actions = engine.add_subparsers(dest="action", metavar="ACTION", required=True)
    status = actions.add_parser("status", help="say what runs; the exit code is 3 when nothing does")
    stop = actions.add_parser("stop", help="end every engine process; the next request starts one again")
    serve = actions.add_parser("serve", help="run the engine for a model in the foreground")
    serve.add_argument("--model", default="default", help=_MODEL)
    serve.add_argument("--threads", type=int, metavar="N", help="threads to compute with (default: all cores but one)")
    serve.add_argument(
        "--precision", default="auto", choices=("auto", "float32", "int8", "int4"), help="of the weights on a CPU"
    )
    serve.add_argument(
        "--idle-seconds", type=float, metavar="S", help="end when nobody asked for so long (default: never)"
    )
    for action in (status, stop):
        action.add_argument("--json", action="store_true", help="print JSON")


if __name__ == "__main__":
    sys.exit(main())
