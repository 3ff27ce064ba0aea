"""`midfill lsp`: the language server; the client's first question is answered before the slow imports."""

import argparse
import gc
import sys

from lsp_server.first_answer import Opening, answer_initialize


def run(arguments: argparse.Namespace) -> int:
    """Serve one client; returns the exit code."""
    if arguments.socket is not None:
        return _serve(Opening(messages=(), pending=b"", answered=False), port=arguments.socket)
    if sys.stdin.isatty():
        print("midfill: this is a language server; an editor talks to it on standard input", file=sys.stderr)
    return _serve(answer_initialize(), port=None)


def _serve(opening: Opening, port: int | None) -> int:
    # Thousands of objects are made by the imports and never die: collecting among them is wasted time.
    gc.disable()
    import asyncio

    from engine.paths import state_folder
    from lsp_server import logs
    from lsp_server.server import build
    from lsp_server.transport import serve_socket, serve_stdio
    from lsp_server.verbs.complaints import BadInputError

    gc.freeze()
    gc.enable()
    logs.start(state_folder())

    async def serve() -> int:
        server = build()
        return await (serve_stdio(server, opening) if port is None else serve_socket(server, port))

    try:
        return asyncio.run(serve())
    except OSError as error:
        if port is None:
            raise
        raise BadInputError(f"cannot listen on 127.0.0.1:{port}: {error.strerror}; choose another port") from error
