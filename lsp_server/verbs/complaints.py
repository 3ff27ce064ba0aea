"""Bad input and failures on the command line: one line on standard error and an exit code, never a traceback."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

BAD_INPUT: Final = 2


class BadInputError(Exception):
    """What a user asked for cannot be done; `str(error)` says why and what to do, in one line."""


@dataclass(slots=True)
class Outcome:
    """How a verb ended."""

    code: int = 0


@contextmanager
def complaints_as_exit_code() -> Iterator[Outcome]:
    """Turn every deliberate error, and an interrupt, into a line and an exit code."""
    from engine.errors import EngineError
    from repo_context.errors import RepoContextError

    outcome = Outcome()
    try:
        yield outcome
    except (BadInputError, EngineError, RepoContextError) as error:
        outcome.code = _complain(str(error))
    except BrokenPipeError:
        # Whoever read our output has seen enough (`| head`); nothing more must be flushed into the closed pipe.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        outcome.code = 1
    except KeyboardInterrupt:
        outcome.code = _complain("interrupted", code=130)
    except OSError as error:
        outcome.code = _complain(f"{error.filename or 'the system'}: {error.strerror or error}")
    except Exception as error:
        if os.environ.get("MIDFILL_DEBUG"):
            raise
        outcome.code = _complain(
            f"unexpected {type(error).__name__}: {error}; please report it (MIDFILL_DEBUG=1 shows where)", code=70
        )


def _complain(message: str, *, code: int = BAD_INPUT) -> int:
    print(f"midfill: {' '.join(message.split())}", file=sys.stderr)
    return code
