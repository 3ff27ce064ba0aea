"""Where a model that was adapted to one repository lies, so that serving finds what training left (no torch)."""

from hashlib import blake2b
from pathlib import Path

from engine.paths import cache_folder


def adapted_folder(root: Path, model: str) -> Path:
    """Return where the model called `model`, adapted to the repository at `root`, lies or would lie.

    Raises:
        EngineError: the cache folder cannot be used.
    """
    digest = blake2b(f"{root.absolute()}\0{model}".encode("utf-8", "surrogateescape"), digest_size=6).hexdigest()
    name = "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in root.absolute().name)[:60]
    return cache_folder() / "adapted" / f"{name or 'root'}-{digest}"


def adapted_or(root: Path, model: str) -> str:
    """Return the folder of the model adapted to `root` where there is one, else `model` itself."""
    folder = adapted_folder(root, model)
    return str(folder) if (folder / "config.json").exists() else model
