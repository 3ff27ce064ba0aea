"""The index's own process: holds one repository and answers over its standard streams, one reply a question.

    python -P -m lsp_server.index_worker ROOT MODEL

Messages both ways are JSON behind a 4-byte big-endian length; a question's `text` comes as `sent_texts` packs it, and
`resend` asks for it whole. The first replies come unasked: `progress` any number of times, then `ready` and `files`,
or `failed`. The process ends when its standard input does.
"""

import gc
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any, Final

from lsp_server.sent_texts import TextReceiver
from lsp_server.symbol_questions import import_of, unknown_names
from lsp_server.token_counter import token_counter
from repo_context.errors import RepoContextError
from repo_context.repository import Repository
from repo_context.snippet import Cursor, IndexProgress

_PROGRESS_SECONDS: Final = 0.1
_FILES_AT_ONCE: Final = 2000
_POLITENESS: Final = 5
"""Niceness: the editor and the engine come first."""


def main() -> int:
    """Serve the repository named on the command line until standard input ends."""
    root, model = Path(sys.argv[1]), sys.argv[2]
    questions, replies = _take_streams()
    os.nice(_POLITENESS)
    try:
        with Repository.open(root, on_progress=_Reporter(replies).report) as repository:
            # What was loaded stays as long as this process: later collections need not look at it again.
            gc.freeze()
            if repository.warning:
                write_message(replies, {"warning": repository.warning})
            _serve(repository, token_counter(model), questions, replies)
    except RepoContextError as error:
        write_message(replies, {"failed": str(error)})
        return 1
    except BrokenPipeError:
        # Nobody listens any more, and nobody must see what else goes wrong when the stream is closed.
        os._exit(1)
    return 0


def read_message(stream: IO[bytes]) -> dict[str, Any] | None:
    """Read one message, or None where the stream ends."""
    header = stream.read(4)
    if len(header) < 4:
        return None
    body = stream.read(int.from_bytes(header))
    message: dict[str, Any] = json.loads(body)
    return message


def write_message(stream: IO[bytes], message: dict[str, Any]) -> None:
    """Write one message."""
    body = json.dumps(message, separators=(",", ":")).encode()
    stream.write(len(body).to_bytes(4) + body)
    stream.flush()


def _serve(
    repository: Repository, count_tokens: Callable[[str], int], questions: IO[bytes], replies: IO[bytes]
) -> None:
    _announce(repository, replies)
    texts = TextReceiver()
    while (question := read_message(questions)) is not None:
        if isinstance(question.get("text"), dict):
            question["text"] = texts.unpack(question["text"])
            if question["text"] is None:
                write_message(replies, {"resend": True})
                continue
        write_message(replies, _answer(repository, question, count_tokens))


def _take_streams() -> tuple[IO[bytes], IO[bytes]]:
    """Keep the streams for messages alone: whatever a library prints goes to standard error."""
    questions, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    with Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    return questions, replies


class _Reporter:
    """Sends progress, not more often than a person can see, and notices when nobody listens any more."""

    def __init__(self, replies: IO[bytes]) -> None:
        self._replies = replies
        self._parent = os.getppid()
        self._next = 0.0

    def report(self, progress: IndexProgress) -> None:
        now = time.monotonic()
        if now < self._next and progress.done < progress.total:
            return
        self._next = now + _PROGRESS_SECONDS
        if os.getppid() != self._parent:
            sys.exit(1)
        write_message(self._replies, {"progress": asdict(progress)})


def _announce(repository: Repository, replies: IO[bytes]) -> None:
    summary = repository.summary()
    # The engine learns files from disk, where a notebook is JSON.
    files = [(file.path, str(file.absolute_path)) for file in repository.files() if file.is_read_as_stored]
    write_message(
        replies,
        {"ready": {"files": summary.files, "symbols": summary.symbols, "seconds": summary.seconds}},
    )
    for start in range(0, len(files), _FILES_AT_ONCE):
        write_message(replies, {"files": files[start : start + _FILES_AT_ONCE]})
    write_message(replies, {"files": []})


def _answer(repository: Repository, question: dict[str, Any], count_tokens: Callable[[str], int]) -> dict[str, Any]:
    try:
        match question["do"]:
            case "snippets":
                text, at = question["text"], question["at"]
                cursor = Cursor(path=question["path"], prefix=text[:at], suffix=text[at:])
                snippets = repository.snippets_for(cursor, budget=question["budget"], count_tokens=count_tokens)
                return {"snippets": [asdict(snippet) for snippet in snippets]}
            case "update":
                repository.update(question["path"], question["text"])
                if question["text"] is not None:
                    repository.note_edit(question["path"])
                return {"holds": question["text"] is None and _holds(repository, question["path"])}
            case "opened":
                repository.note_open(question["path"])
                return {"done": True}
            case "closed":
                repository.note_closed(question["path"])
                return {"done": True}
            case "unknown":
                return {"unknown": unknown_names(repository, question["names"])}
            case "import":
                wanted = import_of(repository, question["path"], question["name"])
                return {"import": asdict(wanted) if wanted is not None else None}
            case "remove":
                repository.remove(question["path"])
                return {"done": True}
            case unknown:
                return {"error": f"unknown question {unknown!r}"}
    except RepoContextError as error:
        return {"error": str(error)}


def _holds(repository: Repository, path: str) -> bool:
    return any(file.path == path for file in repository.files())


if __name__ == "__main__":
    sys.exit(main())
