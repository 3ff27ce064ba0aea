"""`midfill model`, `midfill engine` and `midfill ask` as a user runs them: real processes, real sockets."""

import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.support.engine_process import daemons
from tests.support.families import write_family
from tests.support.hub_server import hub_server
from tests.support.tiny_model import write_tiny_model

CHECKOUT = Path(__file__).parents[2]
CHAT = (
    "{{ bos_token }}{% for message in messages %}### Instruction:\n{{ message['content'].strip() }}\n"
    "{% endfor %}### Response:\n"
)
SOURCE = "def total(prices):\n    result = 0\n    for price in prices:\n        result += price\n    return result\n"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return write_tiny_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def instruct(tmp_path_factory):
    folder = tmp_path_factory.mktemp("instruct") / "model"
    write_family(folder, "deepseek-coder", chat_template=CHAT)
    return folder


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "cart.py"
    path.write_text(SOURCE)
    return path


def start(home: Path, *arguments: object, **environment: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "lsp_server", *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "MIDFILL_HOME": str(home), "PYTHONPATH": str(CHECKOUT), "OMP_NUM_THREADS": "1"}
        | environment,
    )  # fmt: skip


@pytest.fixture
def midfill(home):
    def run(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
        process = start(home, *arguments, **environment)
        stdout, stderr = process.communicate(timeout=180)
        return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)

    return run


def assert_one_line(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    for word in words:
        assert word in done.stderr


def test_a_model_is_added_used_described_and_forgotten(midfill, tiny):
    assert midfill("model", "add", "small", tiny).returncode == 0
    assert midfill("model", "use", "small").returncode == 0
    listed = json.loads(midfill("model", "list", "--json").stdout)
    assert [(model["name"], model["default"]) for model in listed] == [("built-in", False), ("small", True)]
    told = json.loads(midfill("model", "info", "--json").stdout)
    assert (told["name"], told["format"], told["context_length"]) == ("small", "deepseek-coder", 512)
    assert told["parameters"] * 4 == pytest.approx(told["stored_bytes"], rel=0.2)
    assert "small" in midfill("model", "list").stdout
    assert "deepseek-coder" in midfill("model", "info").stdout
    assert midfill("model", "remove", "small").returncode == 0
    assert json.loads(midfill("model", "info", "--json").stdout)["name"] == "built-in"


def test_a_quantised_folder_is_the_same_model_and_completes(midfill, tiny, file, tmp_path):
    done = midfill("model", "quantise", tiny, tmp_path / "small", "--bits", 4)
    assert done.returncode == 0, done.stderr
    original, small = (
        json.loads(midfill("model", "info", name, "--json").stdout) for name in (tiny, tmp_path / "small")
    )
    assert small["parameters"] == original["parameters"]
    assert small["stored_bytes"] < 0.4 * original["stored_bytes"]
    assert midfill("complete", f"{file}:2:1", "--model", tmp_path / "small").returncode == 0


BAD = {
    "a name that is none": (("model", "add", "a b", "{tiny}"), "cannot be a model's name"),
    "the built-in's name": (("model", "add", "default", "{tiny}"), "cannot be a model's name"),
    "a folder that is none": (("model", "add", "x", "/nowhere"), "no model folder"),
    "an address that is none": (("model", "add", "x", "http://"), "no address"),
    "an unknown format": (("model", "add", "x", "http://h/v1", "--format", "odd"), "unknown fill-in-the-middle format"),
    "a model nobody added": (("model", "use", "nobody"), "no model is called 'nobody'"),
    "forgetting nobody": (("model", "remove", "nobody"), "no model is called 'nobody'"),
    "a server that is not there": (("model", "info", "http://127.0.0.1:9/v1"), "is the server running"),
    "downloading no name": (("model", "get", "a b"), "no model's name"),
    "lines that are none": (("ask", "{file}:4-99", "do it"), "has 5 lines"),
    "no lines at all": (("ask", "{file}", "do it"), "no FILE:START-END"),
    "quantising onto a folder": (("model", "quantise", "{tiny}", "/"), "exists"),
    "no instruction": (("ask", "{file}:1-2", " "), "say what to do"),
    "a base model": (("ask", "{file}:1-2", "do it", "--model", "{tiny}"), "is a base model"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_that_says_what_to_do(case, midfill, tiny, file):
    arguments, words = BAD[case]
    assert_one_line(midfill(*(str(argument).format(tiny=tiny, file=file) for argument in arguments)), words)


def test_a_broken_registry_is_named(midfill, home):
    path = home / "config" / "models.json"
    path.parent.mkdir(exist_ok=True, mode=0o700)
    path.write_text('{"models": 3}')
    try:
        assert_one_line(midfill("model", "list"), "models.json is broken")
    finally:
        path.unlink()


def test_a_model_is_downloaded_checked_and_ready(midfill, tiny, tmp_path):
    with hub_server("someone/small", tiny) as hub:
        environment = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path), "HF_HUB_DISABLE_XET": "1"}
        done = midfill("model", "get", "someone/small", "--register", "fetched", "--json", **environment)
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout)
        assert (Path(told["folder"]) / "model.safetensors").read_bytes() == (tiny / "model.safetensors").read_bytes()
        hub.asked.clear()
        assert midfill("model", "get", "someone/small", **environment).returncode == 0
        assert not [asked for asked in hub.asked if asked.startswith("GET /someone")], "nothing is fetched twice"
    info = midfill("model", "info", "fetched", "--json", HF_HOME=str(tmp_path), HF_HUB_OFFLINE="1")
    assert json.loads(info.stdout)["format"] == "deepseek-coder"
    midfill("model", "remove", "fetched")


def write_large_file(path: Path, size: int) -> None:
    """Write valid safetensors: the hub's library keeps what has come of a file by pieces of 10 MB."""
    head = json.dumps({"padding": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
    path.write_bytes(struct.pack("<Q", len(head)) + head + bytes(size))


def test_a_damaged_download_is_removed_and_a_broken_one_goes_on(midfill, tiny, tmp_path):
    large = shutil.copytree(tiny, tmp_path / "large")
    write_large_file(large / "more.safetensors", 24 << 20)
    with hub_server("someone/small", large) as hub:
        environment = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path), "HF_HUB_DISABLE_XET": "1"}
        hub.damaged.add("model.safetensors")
        done = midfill("model", "get", "someone/small", **environment)
        assert done.returncode == 2
        assert "came damaged" in done.stderr.splitlines()[-1]
        hub.damaged.clear()
        shutil.rmtree(tmp_path / "hub")
        hub.cut.add("more.safetensors")
        hub.asked.clear()
        done = midfill("model", "get", "someone/small", **environment)
        if done.returncode:  # the library may give the broken connection back to us
            done = midfill("model", "get", "someone/small", **environment)
        assert done.returncode == 0, done.stderr
        assert any("bytes=" in asked for asked in hub.asked), "it goes on where it broke off"


def test_without_a_network_the_hub_is_said_to_be_out_of_reach(midfill, tmp_path):
    environment = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path)}
    done = midfill("model", "get", "someone/small", **environment)
    assert done.returncode == 2
    assert "cannot be reached" in done.stderr.splitlines()[-1]
    assert "HF_HUB_OFFLINE" in midfill("model", "get", "someone/small", **environment, HF_HUB_OFFLINE="1").stderr


def test_a_model_that_the_hub_has_not_is_named(midfill, tiny, tmp_path):
    with hub_server("someone/small", tiny) as hub:
        done = midfill("model", "get", "someone/other", HF_ENDPOINT=hub.url, HF_HOME=str(tmp_path))
    assert done.returncode == 2
    assert "there is no model someone/other" in done.stderr.splitlines()[-1]


def test_engines_are_shown_and_stopped(midfill, home, tiny, file):
    midfill("engine", "stop")
    assert midfill("engine", "status").returncode == 3
    assert midfill("complete", f"{file}:2:5", "--model", tiny).returncode == 0
    (engine,) = json.loads(midfill("engine", "status", "--json").stdout)
    assert engine["model"] == str(tiny)
    assert f"process {engine['process_id']}" in midfill("engine", "status").stdout
    stopped = midfill("engine", "stop", "--json")
    assert json.loads(stopped.stdout) == {"stopped": [engine["process_id"]], "left": []}
    assert daemons(home) == []


def test_an_engine_runs_in_the_foreground_until_it_is_told_to_end(midfill, home, tiny, file):
    process = start(home, "engine", "serve", "--model", tiny)
    try:
        assert process.stdout is not None
        assert "Ctrl-C ends it" in process.stdout.readline()
        (serving,) = daemons(home)
        assert midfill("complete", f"{file}:2:5", "--model", tiny).returncode == 0
        assert daemons(home) == [serving], "the same one answers"
        assert_one_line(midfill("engine", "serve", "--model", tiny), "serves this model already")
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    assert process.returncode == 0
    assert daemons(home) == []


def test_a_local_instruct_model_is_asked_and_the_file_stays_as_it_is(midfill, instruct, file):
    done = midfill("ask", f"{file}:2-4", "use sum", "--model", instruct, "--max-tokens", 8, "--json")
    # Random weights write nonsense, which seldom ends in eight tokens.
    if done.returncode == 2:
        assert "not finished after 8 tokens" in done.stderr
    else:
        assert json.loads(done.stdout)["file"] == "cart.py"
    assert file.read_text() == SOURCE


@pytest.fixture
def chat_server():
    """A server of `/v1/chat/completions` that answers what the test says."""
    answers: list[str] = []
    asked: list[dict] = []

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_arguments):
            pass

        def do_GET(self):
            self._send("application/json", json.dumps({"data": [{"id": "coder-instruct"}]}))

        def do_POST(self):
            asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            pieces = [answers[0][at : at + 7] for at in range(0, len(answers[0]), 7)]
            events = [{"choices": [{"delta": {"content": piece}}]} for piece in pieces]
            events.append({"choices": [{"delta": {}, "finish_reason": "stop"}]})
            body = "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"
            self._send("text/event-stream", body)

        def _send(self, kind, body):
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.end_headers()
            self.wfile.write(body.encode())

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/v1", answers, asked
    server.shutdown()
    server.server_close()
    thread.join()


def test_an_answer_becomes_a_diff_that_git_applies(midfill, file, chat_server):
    url, answers, asked = chat_server
    answers.append("Sure:\n\n```python\nreturn sum(prices)\n```\nIt is shorter.")
    done = midfill("ask", f"{file}:2-5", "use sum", "--model", url)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(
        "--- a/cart.py\n+++ b/cart.py\n@@ -1,5 +1,2 @@\n def total(prices):\n-    result = 0\n"
    )
    assert file.read_text() == SOURCE
    assert "use sum" in asked[0]["messages"][0]["content"]
    subprocess.run(["git", "apply", "-"], input=done.stdout, text=True, cwd=file.parent, check=True)
    assert file.read_text() == "def total(prices):\n    return sum(prices)\n"


def test_apply_writes_the_change(midfill, file, chat_server):
    url, answers, _ = chat_server
    answers.append("```\n    return sum(prices)\n```")
    assert midfill("ask", f"{file}:2-5", "use sum", "--model", url, "--apply").returncode == 0
    assert file.read_text() == "def total(prices):\n    return sum(prices)\n"
    assert [path.name for path in file.parent.iterdir()] == ["cart.py"]


def test_an_answer_that_changes_nothing_is_told(midfill, file, chat_server):
    url, answers, _ = chat_server
    answers.append("```python\n    return result\n```")
    done = midfill("ask", f"{file}:5", "keep it", "--model", url)
    assert (done.returncode, done.stdout) == (1, "")
    assert "changes nothing" in done.stderr


def test_a_registered_server_completes_as_the_default(midfill, file, chat_server):
    url, answers, asked = chat_server
    answers.append("")
    midfill("model", "add", "remote", url, "--format", "suffix")
    midfill("model", "use", "remote")
    try:
        done = midfill("complete", f"{file}:2:5")
        assert done.returncode == 0, done.stderr
        assert "def total(prices):" in asked[0]["prompt"]
        assert "return result" in asked[0]["suffix"]
    finally:
        midfill("model", "remove", "remote")
