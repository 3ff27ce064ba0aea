"""Where indexes, and the code compiled for them, lie."""

import os
from pathlib import Path

from platformdirs import user_cache_dir


def cache_folder() -> Path:
    """Return the folder that `MIDFILL_HOME` names, else the user's cache folder; it need not exist."""
    home = os.environ.get("MIDFILL_HOME")
    return (Path(home) if home else Path(user_cache_dir("midfill"))).absolute()
