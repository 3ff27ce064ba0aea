"""Where the engine's socket, logs, stored statistics and registered models lie: private folders of this user."""

import os
import stat
import tempfile
import warnings
from hashlib import sha256
from pathlib import Path

import platformdirs

from engine.errors import EngineError

PACKAGES_FOLDER = Path(__file__).resolve().parent.parent
"""The folder that holds the `engine` package and its neighbours."""

_LONGEST_FOLDER = 70
"""Bytes; a socket's whole path may have 103 on macOS and 107 on Linux."""


def cache_folder() -> Path:
    """Return the folder for what can be computed again, made if missing, open to this user only.

    Raises:
        EngineError: it cannot be made, or belongs to someone else.
    """
    home = _home()
    return _private(home / "cache" if home else Path(platformdirs.user_cache_dir("midfill")))


def state_folder() -> Path:
    """Return the folder for logs; made and guarded like `cache_folder`."""
    home = _home()
    return _private(home / "state" if home else Path(platformdirs.user_state_dir("midfill")))


def config_folder() -> Path:
    """Return the folder for what the user has chosen; made and guarded like `cache_folder`."""
    home = _home()
    return _private(home / "config" if home else Path(platformdirs.user_config_dir("midfill")))


def runtime_folder() -> Path:
    """Return the folder for sockets and locks; made and guarded like `cache_folder`.

    A folder whose path is too long for a socket is replaced by one below the system's folder for temporary files.
    """
    home = _home()
    folder = home / "run" if home else _platforms_runtime_folder()
    if len(os.fsencode(folder)) > _LONGEST_FOLDER:
        digest = sha256(os.fsencode(folder)).hexdigest()[:12]
        folder = Path(tempfile.gettempdir()) / f"midfill-{os.getuid()}-{digest}"
    return _private(folder)


def _home() -> Path | None:
    """The one folder that replaces the platform's three; tests use it."""
    value = os.environ.get("MIDFILL_HOME")
    return Path(value).expanduser().absolute() if value else None


def _platforms_runtime_folder() -> Path:
    try:
        # Many machines and containers have no XDG_RUNTIME_DIR; what stands in for it is guarded by `_private` as well.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return Path(platformdirs.user_runtime_dir("midfill"))
    except OSError as error:
        raise EngineError(f"no folder for sockets ({error}); set MIDFILL_HOME to a folder you can write") from error


def _private(folder: Path) -> Path:
    try:
        folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.mkdir(exist_ok=True, mode=0o700)
        found, owners = folder.lstat(), (0, os.getuid())
        # Whoever owns the parent could put another folder in this one's place.
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or folder.parent.stat().st_uid not in owners:
            raise EngineError(f"{folder} is not a folder of yours; remove it, or set MIDFILL_HOME to another folder")
        if found.st_mode & 0o077:
            folder.chmod(0o700)
    except OSError as error:
        reason = error.strerror or error
        raise EngineError(f"cannot use {folder} ({reason}); set MIDFILL_HOME to a folder you can write") from error
    return folder
