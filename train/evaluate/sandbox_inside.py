"""The inner half of the sandbox, a program of its own: walls itself in, runs one command, reports how it ended.

`sandbox.py` starts it as `python -I -S sandbox_inside.py` with a job as JSON on standard input. It imports nothing but
the standard library, and as little of that as it can, because it runs once for every judged program.

With namespaces it is three processes: one unshares and waits; the second is process 1 of a new process namespace, sees
a file system made for it, and watches the third, which becomes the program. When process 1 ends, the kernel kills
whatever is left. Without namespaces it is two: a subreaper that watches, and the program.
"""

# Plain os.path, because pathlib and contextlib take longer to import than all of this takes to run.
# ruff: noqa: PTH102, PTH103, PTH110, PTH112, PTH114, PTH115, PTH116, PTH118, PTH120, PTH123, PTH208, PTH211, SIM105, S606

import ctypes
import errno
import json
import os
import resource
import signal
import sys
import time

TYPE_CHECKING = False  # `typing` itself would cost milliseconds
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

BOX = "/box"
"""Where the program's own folder lies inside."""

_CLONE_NEWNS, _CLONE_NEWUTS, _CLONE_NEWIPC = 0x20000, 0x4000000, 0x8000000
_CLONE_NEWUSER, _CLONE_NEWPID, _CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
_MS_RDONLY, _MS_NOSUID, _MS_NODEV = 0x1, 0x2, 0x4
_MS_BIND, _MS_REC, _MS_PRIVATE = 0x1000, 0x4000, 0x40000
_SYS_MOUNT_SETATTR, _AT_RECURSIVE, _AT_FDCWD = 442, 0x8000, -100
_PR_SET_PDEATHSIG, _PR_CAPBSET_DROP, _PR_SET_CHILD_SUBREAPER, _PR_SET_NO_NEW_PRIVS = 1, 24, 36, 38
_PR_SET_DUMPABLE = 4
_HIGHEST_CAPABILITY = 63
_FIRST_SPARE_USER = 2_000_000
"""User ids from here on belong to nobody; each run takes one of its own."""
_NOBODY = 65534
_PAGE = resource.getpagesize()
_LOOK_SECONDS = 0.05
"""Between two looks at memory and clock."""

_libc = ctypes.CDLL(None, use_errno=True)


def main() -> int:
    """Read the job, run it, report."""
    job = json.loads(sys.stdin.buffer.read())
    report = int(job["report"])
    os.set_inheritable(report, False)
    try:
        _die_first_when_memory_is_short()
        if job["protection"] == "namespaces":
            _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            _run_in_namespaces(job, report)
        else:
            _run_under_limits(job, report)
    except OSError as error:
        _send(report, {"error": f"{error.strerror or error}" + (f" ({error.filename})" if error.filename else "")})
    return 0


# --- with namespaces ------------------------------------------------------------------------------------------


def _run_in_namespaces(job: "dict[str, Any]", report: int) -> None:
    user, group = os.geteuid(), os.getegid()
    program_user = _spare_user() if user == 0 else user
    program_group = program_user if user == 0 else group
    spaces = _CLONE_NEWNS | _CLONE_NEWPID | _CLONE_NEWNET | _CLONE_NEWIPC | _CLONE_NEWUTS
    if user != 0:
        spaces |= _CLONE_NEWUSER
    _check(_libc.unshare(spaces), "unshare")
    if user != 0:
        _write("/proc/self/setgroups", "deny")
        _write("/proc/self/uid_map", f"{user} {user} 1")
        _write("/proc/self/gid_map", f"{group} {group} 1")
    first = os.fork()
    if first == 0:
        try:
            _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            _prctl(_PR_SET_DUMPABLE, 0)  # the program may have our user id: it must not attach to us
            _enter_new_root(job, program_user, program_group)
            child = _start(job, program_user, program_group)
            _send(report, _watch(child, job, _memory_of_all))
        except OSError as error:
            _send(report, {"error": f"{error.strerror or error}" + (f" ({error.filename})" if error.filename else "")})
        finally:
            os._exit(0)
    os.close(report)
    os.waitpid(first, 0)


def _enter_new_root(job: "dict[str, Any]", user: int, group: int) -> None:
    """Make a file system of read-only toolchains and one small writable folder, and move into it."""
    _mount(None, "/", None, _MS_REC | _MS_PRIVATE)
    root = next(place for place in ("/sys", "/mnt", "/srv") if os.path.isdir(place))  # hides nothing we need
    _mount("tmpfs", root, "tmpfs", _MS_NOSUID | _MS_NODEV, "size=8m,mode=755")
    for source in job["visible"]:
        _show(source, root)
    os.makedirs(f"{root}/dev", exist_ok=True)
    for device in ("null", "zero", "full", "random", "urandom"):
        _bind(f"/dev/{device}", f"{root}/dev/{device}")
    os.makedirs(f"{root}/proc", exist_ok=True)
    try:
        _mount("proc", f"{root}/proc", "proc", _MS_NOSUID | _MS_NODEV)
    except OSError:
        pass  # some containers forbid it; the program then does without
    box = f"{root}{BOX}"
    os.makedirs(box)
    _mount("tmpfs", box, "tmpfs", _MS_NOSUID | _MS_NODEV, f"size={job['folder_bytes']},nr_inodes=20000,mode=755")
    for folder in ("work", "tmp", "shm"):
        os.mkdir(f"{box}/{folder}")
    for name, target in (("/tmp", "tmp"), ("/dev/shm", "shm")):  # noqa: S108 - links inside the new root
        if not os.path.lexists(f"{root}{name}"):
            os.symlink(f"{BOX}/{target}", f"{root}{name}")
    _fill(f"{box}/work", job)
    for folder, folders, files in os.walk(box):
        for name in (".", *folders, *files):
            os.chown(os.path.join(folder, name), user, group, follow_symlinks=False)
    _set_read_only(root, 0)
    os.chroot(root)  # forbids new user namespaces inside, too
    os.chdir(f"{BOX}/work")


def _show(source: str, root: str) -> None:
    """Make one file or folder of the machine visible at the same path, read-only."""
    target = f"{root}{source}"
    if os.path.lexists(target):
        return
    if os.path.islink(source):  # /bin -> usr/bin
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.symlink(os.readlink(source), target)
    elif os.path.exists(source):
        _bind(source, target)
        _set_read_only(target, _AT_RECURSIVE)


def _bind(source: str, target: str) -> None:
    if os.path.isdir(source):
        os.makedirs(target, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with open(target, "w"):
            pass
    _mount(source, target, None, _MS_BIND | _MS_REC)


def _fill(folder: str, job: "dict[str, Any]") -> None:
    if job["copies"]:
        import shutil  # costs as much as everything else here together, and few jobs need it

        leave_out = shutil.ignore_patterns(".git", "__pycache__")
        for source, name in job["copies"]:
            target = os.path.join(folder, name)
            shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True, ignore=leave_out)
    for name, text in job["files"].items():
        path = os.path.join(folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8", newline="") as stream:
            stream.write(text)


def _memory_of_all() -> int:
    """Return the private memory of every process in the namespace but our own, in bytes."""
    try:
        names = os.listdir("/proc")
    except OSError:
        return 0
    return sum(_private_memory(name) for name in names if name.isdigit() and name != "1")


# --- without namespaces ---------------------------------------------------------------------------------------


def _run_under_limits(job: "dict[str, Any]", report: int) -> None:
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    signal.signal(signal.SIGTERM, _stop)  # the program has no namespace to die with, so we must not die before it
    _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    user = _spare_user() if os.geteuid() == 0 else None
    folder = job["folder"]
    _fill(folder, job)
    if user is not None:
        for place, folders, files in os.walk(folder):
            for name in (".", *folders, *files):
                os.chown(os.path.join(place, name), user, user, follow_symlinks=False)
    os.chdir(folder)
    try:
        child = _start(job, user, user)
        result = _watch(child, job, lambda: sum(_private_memory(str(process)) for process in _descendants()))
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        _kill_descendants(user)
    _send(report, result)


def _stop(_number: int, _frame: object) -> None:
    sys.exit(0)


def _descendants() -> list[int]:
    """Return every process below this one; what is daemonised has become our own child."""
    parents: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", encoding="ascii", errors="replace") as stream:
                    fields = stream.read().rpartition(")")[2].split()
            except OSError:
                continue
            parents.setdefault(int(fields[1]), []).append(int(name))
    found, waiting = [], [os.getpid()]
    while waiting:
        children = parents.get(waiting.pop(), [])
        found += children
        waiting += children
    return found


def _kill_descendants(user: int | None) -> None:
    if user is not None:  # as that user, "all processes" are the program's and ours alone
        killer = os.fork()
        if killer == 0:
            os.setresuid(user, user, user)
            os.kill(-1, signal.SIGKILL)
            os._exit(0)
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        alive = _descendants()
        for process in alive:
            _signal(process, signal.SIGSTOP)  # all of them first, so that none forks while others are killed
        for process in alive:
            _signal(process, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.005)


def _signal(process: int, number: int) -> None:
    try:
        os.kill(process, number)
    except ProcessLookupError:
        pass


# --- both -----------------------------------------------------------------------------------------------------


def _start(job: "dict[str, Any]", user: int | None, group: int | None) -> int:
    """Fork the process that becomes the program."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    child = os.fork()
    if child:
        return child
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
        os.setsid()
        os.umask(0o022)
        null = os.open("/dev/null", os.O_RDONLY)
        os.dup2(null, 0)
        _limit(job)
        _drop_rights(user, group)
        os.execve(job["command"][0], job["command"], job["environment"])
    except OSError as error:
        os.write(2, f"cannot start {job['command'][0]}: {error.strerror}\n".encode())
    finally:
        os._exit(126)


def _limit(job: "dict[str, Any]") -> None:
    limits = {
        resource.RLIMIT_CPU: job["cpu_seconds"],
        resource.RLIMIT_DATA: job["memory_bytes"],
        resource.RLIMIT_NPROC: job["processes"],
        resource.RLIMIT_FSIZE: job["file_bytes"],
        resource.RLIMIT_NOFILE: job["open_files"],
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_MEMLOCK: 0,
        resource.RLIMIT_MSGQUEUE: 0,
    }
    if job["address_space"] is not None:
        limits[resource.RLIMIT_AS] = job["address_space"]
    if job["protection"] != "namespaces" and os.geteuid() != 0:  # counted over all of the user's processes
        limits[resource.RLIMIT_NPROC] += _own_threads()
    for name, value in limits.items():
        hard = resource.getrlimit(name)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        # SIGXCPU at the limit says why; who ignores it is killed a second later.
        above = value + 1 if name == resource.RLIMIT_CPU and value < hard % (1 << 63) else value
        resource.setrlimit(name, (value, above))


def _drop_rights(user: int | None, group: int | None) -> None:
    if os.geteuid() == 0:
        for capability in range(_HIGHEST_CAPABILITY + 1):
            _libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)  # fails beyond the last one there is
        os.setgroups([])
        if user is not None and group is not None:
            os.setresgid(group, group, group)
            os.setresuid(user, user, user)
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def _watch(child: int, job: "dict[str, Any]", memory: "Callable[[], int]") -> "dict[str, Any]":
    """Wait for the program; stop waiting at the deadline, or when all its processes hold too much memory."""
    deadline = time.monotonic() + job["seconds"]
    began = time.monotonic()
    reason, status = "exit", 0
    look = time.monotonic() + 0.01
    while True:
        ended = _reap(child)
        if ended is not None:
            status = ended
            break
        now = time.monotonic()
        if now >= deadline:
            reason = "time"
            break
        if now >= look:
            look = now + _LOOK_SECONDS
            if memory() > job["memory_bytes"]:
                reason = "memory"
                break
        signal.sigtimedwait({signal.SIGCHLD}, max(0.001, min(deadline, look) - now))
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "reason": reason,
        "code": os.waitstatus_to_exitcode(status),
        "seconds": time.monotonic() - began,
        "cpu_seconds": used.ru_utime + used.ru_stime,
    }


def _reap(child: int) -> "int | None":
    """Collect ended children, orphans too; return the status of `child` once it has ended."""
    while True:
        try:
            process, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return 0
        if process == child:
            return status
        if process == 0:
            return None


def _private_memory(process: str) -> int:
    try:
        with open(f"/proc/{process}/statm", encoding="ascii") as stream:
            _, resident, shared, *_ = stream.read().split()
            with open(f"/proc/{process}/status", encoding="ascii", errors="replace") as status:
                shmem = next((int(line.split()[1]) << 10 for line in status if line.startswith("RssShmem:")), 0)
    except (OSError, ValueError):
        return 0
    return (int(resident) - int(shared)) * _PAGE + shmem


def _own_threads() -> int:
    """Count the threads of all processes that run under our user id."""
    count = 0
    for name in os.listdir("/proc"):
        try:
            if name.isdigit() and os.stat(f"/proc/{name}").st_uid == os.geteuid():
                count += len(os.listdir(f"/proc/{name}/task"))
        except OSError:
            continue
    return count


def _spare_user() -> int:
    """Return a user id that owns nothing and that this user namespace knows."""
    wanted = _FIRST_SPARE_USER + os.getpid()
    with open("/proc/self/uid_map", encoding="ascii") as stream:
        ranges = [tuple(map(int, line.split())) for line in stream]
    return wanted if any(start <= wanted < start + length for start, _, length in ranges) else _NOBODY


def _die_first_when_memory_is_short() -> None:
    try:
        _write("/proc/self/oom_score_adj", "1000")
    except OSError:
        pass  # not mounted, or not ours to write: the limits hold all the same


def _set_read_only(path: str, flags: int) -> None:
    class Attributes(ctypes.Structure):
        _fields_ = [(name, ctypes.c_uint64) for name in ("set", "clear", "propagation", "user_namespace")]

    wanted = Attributes(_MS_RDONLY | _MS_NOSUID, 0, 0, 0)
    result = _libc.syscall(
        _SYS_MOUNT_SETATTR, _AT_FDCWD, path.encode(), flags, ctypes.byref(wanted), ctypes.sizeof(wanted)
    )
    _check(result, path)


def _mount(source: "str | None", target: str, kind: "str | None", flags: int, options: str = "") -> None:
    arguments = [None if text is None else text.encode() for text in (source, target, kind)]
    _check(_libc.mount(*arguments, ctypes.c_ulong(flags), options.encode() or None), target)


def _prctl(option: int, value: int) -> None:
    _check(_libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0), "prctl")


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno() or errno.EPERM
        raise OSError(number, os.strerror(number), what)


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="ascii") as stream:
        stream.write(text)


def _send(report: int, message: "dict[str, Any]") -> None:
    os.write(report, json.dumps(message).encode())


if __name__ == "__main__":
    sys.exit(main())
