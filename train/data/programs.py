"""Runs git and other programs: what they print, or a `CorpusError` with the last line of what they complain of."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from train.errors import CorpusError


def run_program(command: Sequence[str], *, failure: str) -> bytes:
    """Run a program; return what it prints.

    Args:
        command: the program and its arguments.
        failure: what could not be done if it fails; begins the error.

    Raises:
        CorpusError: the program is not installed, or it failed.
    """
    try:
        done = subprocess.run(command, capture_output=True, check=False, env=git_environment())
    except OSError as error:
        raise CorpusError(f"{failure}: cannot run {command[0]} ({error.strerror}); install it") from error
    if done.returncode:
        reason = done.stderr.decode("utf-8", "replace").strip().splitlines() or ["unknown error"]
        raise CorpusError(f"{failure}: {reason[-1].removeprefix('fatal: ')}")
    return done.stdout


def run_git(repository: Path, *arguments: str) -> bytes:
    """Ask git about a repository; return what it prints.

    Raises:
        CorpusError: git is not installed, or cannot answer.
    """
    return run_program(git_command(repository, *arguments), failure=f"git cannot read {repository}")


def git_command(repository: Path, *arguments: str) -> list[str]:
    """Return the command that asks git about a repository, in paths as they are."""
    # safe.directory: reading another user's repository runs none of its hooks.
    settings = ["-c", "safe.directory=*", "-c", "core.quotePath=off"]
    return ["git", *settings, "-C", str(repository), *arguments]


def git_environment() -> dict[str, str]:
    """Return the environment for git: a partial clone must not fetch what it lacks, file by file."""
    return os.environ | {"GIT_NO_LAZY_FETCH": "1", "GIT_TERMINAL_PROMPT": "0"}
