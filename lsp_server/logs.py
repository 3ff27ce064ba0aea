"""Where log lines go: standard error and a file in the state folder, never with a user's source text in them."""

import logging
import sys
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Final

_FORMAT: Final = "%(asctime)s %(process)d %(levelname)s %(message)s"
_FILE_BYTES: Final = 1_000_000


def start(folder: Path, level: int = logging.INFO) -> None:
    """Send the `midfill` loggers' lines to standard error and to `midfill.log` in `folder`, made 0700 if missing."""
    logger = logging.getLogger("midfill")
    logger.setLevel(level)
    logger.propagate = False
    for handler in (logging.StreamHandler(sys.stderr), _file_handler(folder)):
        if handler is not None:
            handler.setFormatter(logging.Formatter(_FORMAT))
            logger.addHandler(handler)
    for name in ("pygls", "asyncio"):
        library = logging.getLogger(name)
        library.handlers = [_TemplateHandler()]
        library.propagate = False
        library.setLevel(logging.WARNING)


def path(folder: Path) -> Path:
    """Return the log file in a state folder."""
    return folder / "midfill.log"


class _TemplateHandler(logging.Handler):
    """Passes on what a library says without the values it says it about: pygls logs whole messages."""

    def emit(self, record: logging.LogRecord) -> None:
        template = str(record.msg).splitlines()[0] if record.msg else ""
        error = f" [{record.exc_info[0].__name__}]" if record.exc_info and record.exc_info[0] else ""
        logging.getLogger("midfill.library").log(record.levelno, "%s: %s%s", record.name, template, error)


def _file_handler(folder: Path) -> logging.Handler | None:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        handler = RotatingFileHandler(path(folder), maxBytes=_FILE_BYTES, backupCount=2, encoding="utf-8")
        path(folder).chmod(0o600)
    except OSError as error:
        print(f"midfill: cannot write a log to {folder}: {error.strerror}", file=sys.stderr)
        return None
    return handler
