"""`midfill lsp` itself, whose engine is the one that `scripted_engine.py` plays, and never a real one.

    python -P server_of_scripted_engine.py

A client finds its engine by a name that follows from the times of the engine's files, and starts one where nobody
answers. A file saved between the start of the script and that of the server would bring a real engine into the test; so
both meet at a socket of a name of their own, and nothing is started.
"""

import sys
from pathlib import Path

from engine import daemon_start, paths
from engine.errors import EngineUnavailableError


def socket_path() -> Path:
    """Where the scripted engine of this MIDFILL_HOME listens."""
    return paths.runtime_folder() / "scripted.sock"


async def _refuse(_settings: daemon_start.EngineSettings, _socket: Path) -> None:
    raise EngineUnavailableError("the scripted engine does not run")


if __name__ == "__main__":
    daemon_start._socket_path = lambda _settings: socket_path()
    daemon_start._start = _refuse

    from lsp_server.cli import main

    sys.exit(main(["lsp"]))
