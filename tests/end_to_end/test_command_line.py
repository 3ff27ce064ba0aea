"""The `midfill` command as a user runs it: real processes, a real engine with a tiny model, exit codes and one line."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.engine_process import daemons

CHECKOUT = Path(__file__).parents[2]
SETTINGS = "from pathlib import Path\n\n\ndef load_settings(folder: Path) -> dict:\n    return {}\n"
MAIN = (
    "from pathlib import Path\n\nfrom app.settings import load_settings\n\n\n"
    "def main(folder: Path) -> None:\n    settings = load_settings(folder)\n    print(settings)\n"
)


@pytest.fixture
def project(tmp_path):
    root = tmp_path / "project"
    (root / ".git").mkdir(parents=True)
    (root / "app").mkdir()
    (root / "app" / "__init__.py").touch()
    (root / "app" / "settings.py").write_text(SETTINGS)
    (root / "main.py").write_text(MAIN)
    return root


@pytest.fixture
def midfill(home, project):
    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-P", "-m", "lsp_server", *map(str, arguments)],
            capture_output=True, text=True, cwd=project, timeout=120, check=False,
            env={**os.environ, "MIDFILL_HOME": str(home), "PYTHONPATH": str(CHECKOUT), "OMP_NUM_THREADS": "1"}
            | environment,
        )  # fmt: skip

    return run


def assert_one_line(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode == 2
    assert done.stdout == ""
    [line] = done.stderr.splitlines()
    assert line.startswith("midfill: ")
    for word in words:
        assert word in line


def test_the_version_is_printed(midfill):
    assert midfill("--version").stdout.startswith("midfill 0.")


def test_a_verb_is_asked_for(midfill):
    done = midfill()
    assert done.returncode == 0
    for verb in ("index", "context", "complete", "doctor", "lsp", "train"):
        assert verb in done.stdout


def test_index_prints_a_summary_and_takes_the_rest_from_disk_the_second_time(midfill, project):
    done = midfill("index", ".")
    assert done.returncode == 0, done.stderr
    assert str(project) in done.stdout
    first, second = (json.loads(midfill("index", "--json").stdout) for _ in range(2))
    assert (first["files"], first["by_language"]) == (3, {"python": 3})
    assert second["reparsed"] == 0


def test_context_says_which_snippets_and_why(midfill):
    result = json.loads(midfill("context", "main.py:7:29", "--json").stdout)
    assert [snippet["path"] for snippet in result["snippets"]] == ["app/settings.py"]
    assert "load_settings" in result["snippets"][0]["reason"]
    assert result["tokens"] <= result["budget"]
    assert "app/settings.py:" in midfill("context", "main.py:7:29").stdout


def test_context_prints_what_the_model_is_sent(midfill, model):
    result = json.loads(midfill("context", "main.py:7:29", "--json", "--model", model).stdout)
    assert "def load_settings" in result["prompt"]
    assert "settings = load_settings" in result["prompt"]
    assert result["prompt"] in midfill("context", "main.py:7:29", "--prompt", "--model", model).stdout


def test_complete_prints_what_an_editor_would_show_with_the_time_of_every_hop(midfill, model):
    done = midfill("complete", "main.py:7:16", "--erase-line-rest", "--json", "--model", model)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["actual"] == "load_settings(folder)"
    assert result["completion"] is None or "\n" not in result["completion"]
    assert {
        "read", "index", "snippets", "engine start", "learn", "queue", "prompt", "prefill", "decode", "total",
    } <= set(result["milliseconds"])  # fmt: skip


def test_complete_shows_the_lines_around_the_cursor(midfill, model):
    done = midfill("complete", "main.py:7:16", "--erase-line-rest", "--model", model)
    assert done.returncode == 0, done.stderr
    assert "     6 | def main(folder: Path) -> None:" in done.stdout
    assert "     7 |     settings = " in done.stdout
    assert "the file says: load_settings(folder)" in done.stdout


def test_complete_works_outside_of_a_repository(midfill, model, project):
    shutil.rmtree(project / ".git")
    done = midfill("complete", "main.py:7:16", "--model", model)
    assert done.returncode == 0, done.stderr
    assert "not inside a repository" in done.stdout


def test_complete_starts_the_engine_again_after_it_was_killed(midfill, model, home):
    assert midfill("complete", "main.py:7:16", "--model", model).returncode == 0
    [before] = daemons(home)
    os.kill(before, signal.SIGKILL)
    assert midfill("complete", "main.py:7:16", "--model", model).returncode == 0
    [after] = daemons(home)
    assert after != before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["index", "missing"], ["no folder", "missing"]),
        (["index", "main.py"], ["main.py", "is a file"]),
        (["index", "empty"], ["empty", "nothing to index"]),
        (["complete", "missing.py:1:1"], ["no file", "missing.py"]),
        (["complete", "main.py:99:1"], ["main.py has 9 lines", "99"]),
        (["complete", "main.py:0:1"], ["main.py has 9 lines", "no line 0"]),
        (["complete", "main.py:1:99"], ["columns are 1 to 25", "99"]),
        (["complete", "main.py"], ["FILE:LINE:COL"]),
        (["complete", "main.py:a:b"], ["FILE:LINE:COL"]),
        (["complete", "app:1:1"], ["is a folder"]),
        (["complete", "latin.py:1:1"], ["not UTF-8", "0xe9", "offset 5"]),
        (["complete", "binary.py:1:1"], ["binary"]),
        (["complete", "main.py:1:1", "--model", "no/such/model"], ["no/such/model"]),
        (["complete", "main.py:1:1", "--model", "broken"], ["broken"]),
        (["complete", "main.py:1:1", "--max-tokens", "0"], ["--max-tokens"]),
        (["context", "main.py:1:1", "--budget", "-1"], ["--budget"]),
        (["context", "/etc/hostname:1:1"], ["no repository"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_bad_input_gets_one_line_and_exit_code_2(midfill, project, model, arguments, words):
    (project / "empty").mkdir()
    (project / "latin.py").write_bytes("x = 'é'\n".encode("latin-1"))
    (project / "binary.py").write_bytes(b"a\0b\n")
    shutil.copytree(model, project / "broken")
    (project / "broken" / "model.safetensors").write_bytes(b"not weights")
    assert_one_line(midfill(*arguments), *words)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_an_unreadable_file_gets_one_line(midfill, project):
    (project / "main.py").chmod(0)
    assert_one_line(midfill("complete", "main.py:1:1"), "cannot read", "main.py")


def test_a_corrupt_index_is_rebuilt(midfill):
    folder = Path(json.loads(midfill("index", "--json").stdout)["index_folder"])
    for file in folder.rglob("*"):
        if file.is_file() and file.stat().st_size:
            file.write_bytes(b"\xff" * 4096)
    done = midfill("index", "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert (result["files"], result["reparsed"]) == (3, 3)


def test_with_a_home_that_cannot_be_written_all_is_indexed_in_memory_and_one_line_says_so(midfill):
    done = midfill("index", ".", "--json", MIDFILL_HOME="/proc/nowhere")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["files"] == 3
    (line,) = done.stderr.splitlines()
    assert "kept in memory" in line
    assert "MIDFILL_HOME" in line


def test_a_reader_that_stops_early_is_no_error_of_ours(midfill, home, project):
    code = f"cd {project} && {sys.executable} -P -m lsp_server context main.py:7:29 | head -0"
    environment = {**os.environ, "MIDFILL_HOME": str(home), "PYTHONPATH": str(CHECKOUT)}
    done = subprocess.run(["sh", "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert done.stderr == ""


def test_doctor_is_content_with_a_model_that_can_be_served(midfill, model):
    done = midfill("doctor", "--model", model, "--json")
    result = json.loads(done.stdout)
    assert (done.returncode, result["ok"]) == (0, True), done.stdout
    findings = {finding["what"]: finding["value"] for finding in result["findings"]}
    assert {"midfill", "python", "torch", "grammars", "device", "model", "indexes", "logs", "engine"} <= set(findings)
    assert "deepseek-coder format" in findings["model"]


def test_doctor_says_what_is_wrong_and_what_to_do(midfill, model, project):
    shutil.copytree(model, project / "broken")
    (project / "broken" / "tokenizer.json").unlink()
    done = midfill("doctor", "--model", "broken")
    assert done.returncode == 1
    assert "✗ model" in done.stdout
    assert "1 to mend:" in done.stdout
    assert "tokenizer.json" in done.stdout


def test_the_command_line_starts_without_the_slow_imports():
    code = (
        "import sys; import lsp_server.cli; lsp_server.cli._parser();"
        "slow = {'torch', 'numpy', 'tokenizers', 'tree_sitter', 'pygls', 'lsprotocol', 'asyncio', 'transformers'};"
        "print(sorted(slow & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(CHECKOUT)},
    )
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("verb", ["index", "context", "complete", "doctor", "lsp"])
def test_no_verb_imports_torch(verb):
    code = f"import sys, lsp_server.verbs.{verb}; print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(CHECKOUT)},
    )
    assert done.stdout == "False\n"
