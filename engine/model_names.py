"""From the name of a model to its folder on this machine (no torch)."""

from pathlib import Path

from huggingface_hub import try_to_load_from_cache
from huggingface_hub.errors import HFValidationError

from engine.errors import ModelFolderError

DEFAULT_MODEL = Path(__file__).parent / "models" / "default"
"""The embedded default model."""


def resolve(name: str) -> Path:
    """Return the folder of a model named by a path, by `default`, or by a Hugging Face name in the local cache.

    Nothing is loaded or downloaded.

    Raises:
        ModelFolderError: there is no such folder, and the local cache holds no such model.
    """
    if name == "default":
        return DEFAULT_MODEL
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder.resolve()
    if name.count("/") == 1 and not name.startswith((".", "/", "~")):
        try:
            cached = try_to_load_from_cache(name, "config.json")
        except HFValidationError:  # no name that a model could have
            cached = None
        if isinstance(cached, str):
            return Path(cached).parent
        raise ModelFolderError(
            f"model {name!r} is neither a folder nor in the local Hugging Face cache; "
            f"download it first (`midfill model get {name}`) or give the path of a model folder"
        )
    raise ModelFolderError(f"there is no model folder {name!r}; give 'default', a folder, or a Hugging Face name")
