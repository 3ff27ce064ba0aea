"""Time from process start to the answer of `initialize`, beside an empty interpreter and an empty pygls server.

    python benchmarks/startup.py [--runs 20]

Each run starts a new process in a new MIDFILL_HOME. The empty pygls server is the floor that any server written with
pygls has; the ratio to it is what midfill adds.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "processId": None,
        "rootUri": Path.cwd().as_uri(),
        "capabilities": {"textDocument": {"inlineCompletion": {}}, "general": {"positionEncodings": ["utf-8"]}},
    },
}
EMPTY_SERVER = "from pygls.lsp.server import LanguageServer; LanguageServer('empty', '1').start_io()"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20)
    runs = parser.parse_args().runs
    checkout = str(Path(__file__).resolve().parent.parent)
    commands = {
        "empty interpreter": ([sys.executable, "-P", "-c", "pass"], time_to_exit),
        "empty pygls server": ([sys.executable, "-P", "-c", EMPTY_SERVER], time_to_initialize),
        "midfill lsp": ([sys.executable, "-P", "-m", "lsp_server", "lsp"], time_to_initialize),
    }
    times: dict[str, list[float]] = {name: [] for name in commands}
    with tempfile.TemporaryDirectory() as home:
        environment = {**os.environ, "MIDFILL_HOME": home, "PYTHONPATH": checkout}
        for _ in range(runs + 1):
            for name, (command, measure) in commands.items():
                times[name].append(measure(command, environment))
    print(f"{runs} runs each, in turn; milliseconds")
    print(f"{'':22}{'min':>8}{'median':>8}{'max':>8}{'ratio':>8}")
    floor = statistics.median(times["empty pygls server"][1:])
    for name, all_runs in times.items():
        counted = all_runs[1:]  # the first run reads everything from disk
        median = statistics.median(counted)
        print(f"{name:22}{min(counted):8.0f}{median:8.0f}{max(counted):8.0f}{median / floor:8.2f}")


def time_to_exit(command: Sequence[str], environment: Mapping[str, str]) -> float:
    """Return the milliseconds of a whole process."""
    began = time.perf_counter()
    subprocess.run(command, env=environment, check=True)
    return 1e3 * (time.perf_counter() - began)


def time_to_initialize(command: Sequence[str], environment: Mapping[str, str]) -> float:
    """Return the milliseconds from process start to the whole answer of `initialize`."""
    began = time.perf_counter()
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        body = json.dumps(INITIALIZE).encode()
        process.stdin.write(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
        process.stdin.flush()
        length = 0
        while header := process.stdout.readline().strip():
            name, _, value = header.partition(b":")
            length = int(value) if name.lower() == b"content-length" else length
        answer = json.loads(process.stdout.read(length))
        elapsed = 1e3 * (time.perf_counter() - began)
        assert answer["result"]["capabilities"], answer
        process.kill()
    return elapsed


if __name__ == "__main__":
    main()
