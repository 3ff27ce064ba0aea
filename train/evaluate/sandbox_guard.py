"""Runs a Python program under an audit hook: what is left of a sandbox on a machine without namespaces.

Started as `python -I -S sandbox_guard.py FOLDER PROGRAM`. The hook refuses sockets, other programs, signals to other
processes, ctypes, and writing outside the folder. Python cannot remove an audit hook, but code that breaks the
interpreter can: this keeps mistakes in, not a skilled attacker.
"""

import os
import runpy
import sys

_CHANGES_PATHS = frozenset(
    f"os.{name}"
    for name in ("remove", "rename", "rmdir", "mkdir", "chmod", "chown", "link", "symlink", "truncate", "utime")
)
_REFUSED = frozenset(
    ("subprocess.Popen", "os.exec", "os.posix_spawn", "os.system", "os.killpg", "os.setxattr", "os.removexattr")
)
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def main() -> None:
    """Install the hook and run the program as `__main__`."""
    folder, program = os.path.realpath(sys.argv[1]), sys.argv[2]
    sys.argv = [program]
    own = f"{folder}/"

    def is_inside(path: object) -> bool:
        if isinstance(path, int):
            return True  # a descriptor that is open already
        text = os.fsdecode(path)  # type: ignore[arg-type]
        return text == os.devnull or os.path.realpath(text).startswith(own)

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        refused = event in _REFUSED or event.startswith(("socket.", "ctypes.")) or "ctypes" in arguments[:1]
        if event == "os.kill":
            refused = arguments[0] != os.getpid()
        elif event == "open":
            path, _, flags = arguments
            refused = isinstance(flags, int) and bool(flags & _WRITING) and not is_inside(path)
        elif event in _CHANGES_PATHS:
            paths = [path for path in arguments[:2] if isinstance(path, str | bytes | os.PathLike)]
            refused = not all(map(is_inside, paths))
        if refused:
            raise PermissionError(f"the sandbox forbids {event}")

    sys.addaudithook(hook)
    runpy.run_path(program, run_name="__main__")


if __name__ == "__main__":
    main()
