"""Programs that mean harm: each is contained, and the machine and this process are as they were."""

import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from train.errors import SandboxError
from train.evaluate.sandbox import Ending, Limits, Outcome, Protection, Sandbox, strongest_protection

ROOT = Path(__file__).parents[4]
STRONG = strongest_protection() is Protection.NAMESPACES
needs_namespaces = pytest.mark.skipif(not STRONG, reason="this machine forbids namespaces")
LIMITS = Limits(seconds=20, cpu_seconds=2, memory_bytes=256 << 20, processes=16, output_bytes=100_000)
QUICK = Limits(seconds=1.5, cpu_seconds=1, memory_bytes=256 << 20, processes=16)
SYSTEM_PYTHON = "/usr/bin/python3"


def _readable_python() -> str | None:
    """The fallback runs programs as another user when started by root; the interpreter must be readable to all."""
    for python in (sys.executable, SYSTEM_PYTHON):
        try:
            if Sandbox(protection=Protection.LIMITS, python=python).run_python("").passed:
                return python
        except SandboxError:
            continue
    return None


READABLE_PYTHON = _readable_python()

protections = pytest.mark.parametrize(
    "sandbox",
    [
        pytest.param(Protection.NAMESPACES, marks=needs_namespaces),
        pytest.param(
            Protection.LIMITS,
            marks=pytest.mark.skipif(READABLE_PYTHON is None, reason="other users may not read this interpreter"),
        ),
    ],
    indirect=True,
    ids=lambda protection: protection.name.lower(),
)


@pytest.fixture
def sandbox(request: pytest.FixtureRequest) -> Sandbox:
    python = sys.executable if request.param is Protection.NAMESPACES else READABLE_PYTHON
    assert python is not None
    return Sandbox(limits=LIMITS, protection=request.param, python=python)


def evil(sandbox: Sandbox, program: str, limits: Limits | None = None) -> Outcome:
    return sandbox.run_python(textwrap.dedent(program), limits=limits)


def processes_with(mark: str) -> list[str]:
    """Return the command lines of processes on this machine that hold `mark`."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            try:
                line = (folder / "cmdline").read_bytes().decode(errors="replace")
            except OSError:
                continue
            if mark in line:
                found.append(line)
    return found


def gone(mark: str) -> bool:
    for _ in range(500):  # the kernel takes a moment to take a namespace down
        if not processes_with(mark):
            return True
        time.sleep(0.02)
    return False


@protections
def test_a_right_program_passes_and_its_output_comes_back(sandbox: Sandbox) -> None:
    outcome = evil(sandbox, "import sys\nprint('grüße')\nsys.stderr.write('careful')")
    assert outcome.passed
    assert outcome.reason == "passed"
    assert (outcome.stdout, outcome.stderr) == ("grüße\n", "careful")


@protections
@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("assert 1 == 2, 'no'", "AssertionError: no"),
        ("raise SystemExit(3)", "exit code 3"),
        ("import os; os._exit(4)", "exit code 4"),
        ("def f(:", "SyntaxError: invalid syntax"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "exit code -9"),
    ],
)
def test_a_wrong_program_fails_with_its_reason(sandbox: Sandbox, program: str, reason: str) -> None:
    outcome = evil(sandbox, program)
    assert not outcome.passed
    assert outcome.reason == reason


@protections
@pytest.mark.parametrize(
    "program",
    ["while True: pass", "import time; time.sleep(1000)", "import threading; threading.Event().wait()"],
)
def test_what_never_ends_is_ended(sandbox: Sandbox, program: str) -> None:
    assert evil(sandbox, program, QUICK).ending is Ending.TIME


@protections
def test_ignoring_every_signal_does_not_help(sandbox: Sandbox) -> None:
    outcome = evil(
        sandbox,
        """
        import signal
        for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
            signal.signal(number, signal.SIG_IGN)
        while True: pass
        """,
        QUICK,
    )
    assert outcome.ending is Ending.TIME


@protections
def test_a_fork_bomb_is_held_to_the_number_of_processes(sandbox: Sandbox) -> None:
    outcome = evil(
        sandbox,
        """
        import os, time
        made, refused = 0, ""
        try:
            for _ in range(1000):
                if os.fork() == 0:
                    time.sleep(60)
                made += 1
        except OSError as error:
            refused = type(error).__name__
        print(made, refused)
        """,
    )
    made, refused = outcome.stdout.split()
    assert int(made) <= LIMITS.processes
    assert refused == "BlockingIOError"


@protections
def test_a_fork_bomb_that_goes_on_is_killed_with_all_its_children(sandbox: Sandbox) -> None:
    outcome = evil(
        sandbox,
        """
        import os
        while True:
            try: os.fork()
            except OSError: pass
        """,
        QUICK,
    )
    assert outcome.ending is Ending.TIME
    assert sandbox.run_python("").passed


@protections
@pytest.mark.parametrize(
    "program",
    [
        "bytearray(10 << 30)",
        "x = []\nwhile True: x.append(bytearray(50 << 20))",
        "x = 'a' * (10 << 30)",
        "x = 7\nwhile True: x **= x",
    ],
)
def test_ten_gigabytes_are_not_to_be_had(sandbox: Sandbox, program: str) -> None:
    outcome = evil(sandbox, program)
    assert not outcome.passed
    assert outcome.reason.startswith("MemoryError") or outcome.ending in (Ending.MEMORY, Ending.TIME)


@needs_namespaces
@pytest.mark.parametrize(
    "program",
    [
        "import mmap\nm = mmap.mmap(-1, 2 << 30)\nfor i in range(0, 2 << 30, 4096): m[i] = 1",
        """
import os, time
for _ in range(3): os.fork()
x = bytearray(100 << 20)
time.sleep(30)
""",
    ],
    ids=["shared", "many processes"],
)
def test_memory_is_counted_over_all_processes(program: str) -> None:
    outcome = Sandbox(limits=LIMITS).run_python(program)
    assert not outcome.passed
    assert outcome.ending is Ending.MEMORY or "Error" in outcome.reason


@protections
def test_killing_everyone_kills_nobody_else(sandbox: Sandbox) -> None:
    bystander = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    try:
        evil(sandbox, "import os, signal\nos.kill(-1, signal.SIGKILL)")
        evil(sandbox, f"import os, signal\nos.kill({os.getpid()}, signal.SIGKILL)")
        evil(sandbox, "import os, signal\nos.killpg(os.getpgrp(), signal.SIGKILL)")
        evil(sandbox, "import os, signal\nos.kill(os.getppid(), signal.SIGKILL)")
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


@protections
@pytest.mark.parametrize(
    "program",
    [
        "import socket\nsocket.create_connection(('1.1.1.1', 53), timeout=3)",
        "import socket\nsocket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('1.1.1.1', 53))",
        "import urllib.request\nurllib.request.urlopen('http://example.com', timeout=3)",
    ],
)
def test_there_is_no_network(sandbox: Sandbox, program: str) -> None:
    assert not evil(sandbox, program).passed


@needs_namespaces
def test_a_server_on_this_machine_cannot_be_reached() -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        program = f"import socket\nsocket.create_connection(('127.0.0.1', {port}), timeout=3)"
        assert not Sandbox(limits=LIMITS).run_python(program).passed


@protections
def test_nothing_is_written_outside_the_folder(sandbox: Sandbox, tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    targets = [str(tmp_path / "evil"), "/usr/evil", "/etc/evil", "/evil", str(Path.home() / "evil"), "/proc/evil"]
    outcome = evil(
        sandbox,
        f"""
        done = []
        for path in {targets!r}:
            try:
                open(path, "w").write("x")
                done.append(path)
            except OSError:
                pass
        print(done)
        """,
    )
    assert outcome.stdout.strip() == "[]"
    assert not any(Path(path).exists() for path in targets)


@protections
def test_the_folder_itself_can_be_written_and_is_gone_afterwards(sandbox: Sandbox) -> None:
    program = "import os\nopen('note', 'w').write('x')\nprint(os.path.realpath('note'), os.listdir('.'))"
    first, second = evil(sandbox, program), evil(sandbox, program)
    assert first.passed
    assert not Path(first.stdout.split()[0]).exists()
    assert second.passed


@protections
def test_a_flood_of_output_is_cut_off(sandbox: Sandbox) -> None:
    outcome = evil(sandbox, "while True: print('x' * 10_000)")
    assert outcome.ending is Ending.OUTPUT
    assert len(outcome.stdout) <= LIMITS.output_bytes


@protections
def test_a_huge_file_is_refused(sandbox: Sandbox) -> None:
    outcome = evil(sandbox, "with open('big', 'wb') as f:\n    while True: f.write(b'x' * (1 << 20))")
    assert not outcome.passed


@protections
def test_too_many_open_files_are_refused(sandbox: Sandbox) -> None:
    assert "Too many open files" in evil(sandbox, "files = [open('main.py') for _ in range(5000)]").reason


@needs_namespaces
def test_many_small_files_do_not_fill_the_disk() -> None:
    program = "for i in range(100): open(f'f{i}', 'wb').write(b'x' * (4 << 20))"
    assert "No space left" in Sandbox(limits=LIMITS).run_python(program).reason


@protections
def test_a_daemonised_child_dies_with_its_parent(sandbox: Sandbox) -> None:
    mark = f"sandbox-daemon-{os.getpid()}-{sandbox.protection.name}"
    outcome = evil(
        sandbox,
        f"""
        import ctypes, os, sys, time
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                import signal
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
                signal.signal(signal.SIGHUP, signal.SIG_IGN)
                os.execv(sys.executable, [sys.executable, "-c", "import time; time.sleep(600)", "{mark}"])
            os._exit(0)
        time.sleep(0.3)
        """.replace("ctypes, ", "")
        if sandbox.protection is Protection.NAMESPACES
        else """
        import os, time
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0: time.sleep(600)
            os._exit(0)
        time.sleep(0.3)
        """,
    )
    assert outcome.passed
    assert gone(mark)


@pytest.mark.skipif(READABLE_PYTHON is None, reason="other users may not read this interpreter")
@pytest.mark.parametrize("program", ["while True: print('x' * 10_000)", "while True: pass", "pass"])
def test_without_namespaces_orphans_are_killed_however_the_program_ends(program: str) -> None:
    assert READABLE_PYTHON is not None
    sandbox = Sandbox(limits=QUICK, protection=Protection.LIMITS, python=READABLE_PYTHON)
    outcome = sandbox.run_python(
        "import os, time\nreading, writing = os.pipe()\n"
        "if os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n"
        "        os.write(writing, str(os.getpid()).encode())\n        time.sleep(600)\n    os._exit(0)\n"
        f"print(os.read(reading, 99).decode(), flush=True)\n{program}"
    )
    orphan = int(outcome.stdout.split("\n")[0])
    stat = Path(f"/proc/{orphan}/stat")
    assert not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z"


@needs_namespaces
@pytest.mark.parametrize("path", [str(Path.home() / ".ssh"), "/etc/shadow", str(ROOT / "README.md"), "/var", "/sys"])
def test_the_rest_of_the_machine_cannot_be_seen(path: str) -> None:
    program = f"import os\nassert os.path.exists({path!r}) and (os.path.isfile({path!r}) or os.listdir({path!r}))"
    assert not Sandbox(limits=LIMITS).run_python(program).passed


@needs_namespaces
def test_other_processes_cannot_be_seen() -> None:
    program = "import os\nprint([name for name in os.listdir('/proc') if name.isdigit()])"
    assert Sandbox(limits=LIMITS).run_python(program).stdout.strip() == "['1', '2']"


@needs_namespaces
@pytest.mark.parametrize(
    "call",
    [
        "libc.unshare(0x10000000)",
        "libc.mount(b'tmpfs', b'/box/tmp', b'tmpfs', 0, None)",
        "libc.chroot(b'/box')",
        "libc.setuid(0)",
        "libc.sethostname(b'evil', 4)",
        "libc.ptrace(16, 1, 0, 0)",
    ],
)
def test_rights_cannot_be_had_again(call: str) -> None:
    program = f"import ctypes\nlibc = ctypes.CDLL(None)\nassert {call} != 0"
    assert Sandbox(limits=LIMITS).run_python(program).passed


@needs_namespaces
def test_the_environment_holds_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    assert "hf_secret" not in Sandbox().run_python("import os; print(dict(os.environ))").stdout


@needs_namespaces
def test_when_we_die_the_program_dies_too(tmp_path: Path) -> None:
    mark = f"sandbox-orphan-{os.getpid()}"
    sleep = f"[sys.executable, '-c', 'import time; time.sleep(600)', {mark!r}]"
    program = f"import os, sys\nos.execv(sys.executable, {sleep})"
    script = f"from train.evaluate.sandbox import *\nSandbox(limits=Limits(seconds=600)).run_python({program!r})"
    outer = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT)
    try:
        for _ in range(1000):
            if any(line.endswith(f"{mark}\0") for line in processes_with(mark)):
                break
            time.sleep(0.02)
        else:
            pytest.fail("the program did not start")
    finally:
        outer.send_signal(signal.SIGKILL)
        outer.wait()
    assert gone(mark)


@needs_namespaces
def test_any_command_runs_on_a_copy_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "data.txt").write_text("original")
    outcome = Sandbox(limits=LIMITS).run(
        ["sh", "-c", "cat copy/package/data.txt extra.txt; echo changed > copy/package/data.txt"],
        files={"extra.txt": "extra"},
        copies={"copy": tmp_path},
    )
    assert outcome.passed, outcome.stderr
    assert outcome.stdout == "originalextra"
    assert (tmp_path / "package" / "data.txt").read_text() == "original"


def test_without_namespaces_nothing_but_python_runs() -> None:
    with pytest.raises(SandboxError, match="needs a sandbox with namespaces"):
        Sandbox(protection=Protection.LIMITS).run(["sh", "-c", "true"], files={})


def test_a_command_that_is_not_installed_is_named() -> None:
    if STRONG:
        with pytest.raises(SandboxError, match="no-such-compiler is not installed"):
            Sandbox().run(["no-such-compiler"], files={})


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.skipif(not Path(SYSTEM_PYTHON).exists(), reason="needs a Python that every user can read")
@pytest.mark.parametrize("protection", ["NAMESPACES", "LIMITS"])
def test_an_ordinary_user_is_protected_too(protection: str, tmp_path: Path) -> None:
    copy = Path("/var/tmp") / f"midfill-sandbox-test-{os.getpid()}"  # readable to the other user, unlike tmp_path
    try:
        (copy / "train" / "evaluate").mkdir(parents=True)
        for name in ("errors.py", "evaluate/sandbox.py", "evaluate/sandbox_inside.py", "evaluate/sandbox_guard.py"):
            shutil.copy(ROOT / "train" / name, copy / "train" / name)
        script = textwrap.dedent(
            f"""
            from train.evaluate.sandbox import *
            sandbox = Sandbox(protection=Protection.{protection}, limits=Limits(seconds=20, cpu_seconds=1, processes=8))
            print(sandbox.run_python("print(1)").passed)
            print(sandbox.run_python("while True: pass").ending.value)
            print(sandbox.run_python("import os; os.kill(-1, 9)").passed)
            print(sandbox.run_python("bytearray(10 << 30)").reason)
            print(sandbox.run_python("open('/var/tmp/evil', 'w')").passed)
            print(sandbox.run_python("import socket; socket.create_connection(('1.1.1.1', 53), 2)").passed)
            bomb = "import os\\ntry:\\n    while True: os.fork()\\nexcept BlockingIOError: print('refused', flush=True)"
            print("refused" in sandbox.run_python(bomb).stdout)
            """
        )
        user = 65534
        result = subprocess.run(
            [SYSTEM_PYTHON, "-c", script],
            cwd=copy,
            user=user,
            group=user,
            extra_groups=[],
            capture_output=True,
            text=True,
        )
    finally:
        shutil.rmtree(copy)
    if "cannot be set up" in result.stderr:
        pytest.skip("this machine forbids user namespaces to ordinary users")
    assert result.returncode == 0, result.stderr
    expected = ["True", "time", "False", "MemoryError", "False", "False", "True"]
    assert result.stdout.split("\n")[:-1] == expected
