"""Fetches a model from the Hugging Face hub, or a mirror that HF_ENDPOINT names, and checks what has come (no torch).

The hub's own library downloads: with progress, several files at once, and from where it was when it is asked again.
"""

import fnmatch
from collections.abc import Callable, Iterable
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from engine.errors import EngineError, ModelFolderError

_WANTED: Final = ("*.json", "*.safetensors", "*.jinja", "tokenizer.model", "README.md", "LICENSE*")
"""No pickles and no code: neither is ever read."""
_BLOCK: Final = 1 << 22


def download(name: str, *, revision: str = "main", on_check: Callable[[str], None] = lambda _file: None) -> Path:
    """Download a model into the local Hugging Face cache, or what is missing of it; return its folder.

    Args:
        name: `organisation/model`.
        revision: a branch, tag or commit.
        on_check: called with the name of every file whose checksum is about to be verified.

    Raises:
        ModelFolderError: the model has no weights that can be served, or a file has come damaged.
        EngineError: there is no such model, or the hub cannot be reached.
    """
    from huggingface_hub import HfApi, snapshot_download

    try:
        info = HfApi().model_info(name, revision=revision, files_metadata=True)
        listed = [file for file in info.siblings or () if _wanted(file.rfilename)]
        if not any(file.rfilename.endswith(".safetensors") for file in listed):
            raise ModelFolderError(f"{name} has no *.safetensors; midfill reads weights in no other form")
        folder = Path(snapshot_download(name, revision=info.sha, allow_patterns=list(_WANTED), ignore_patterns="*/*"))
        reference = folder.parent.parent / "refs" / revision
        if not reference.exists():  # a pinned download leaves none, and names resolve through it
            reference.parent.mkdir(parents=True, exist_ok=True)
            reference.write_text(str(info.sha), encoding="utf-8")
    except ModelFolderError:
        raise
    # The hub's library and the HTTP client below it raise a dozen classes; all mean that nothing can be fetched.
    except Exception as error:
        raise EngineError(_explain(name, error)) from error
    _verify(folder, listed, on_check)
    return folder


def _verify(folder: Path, listed: Iterable[Any], on_check: Callable[[str], None]) -> None:
    for file in listed:
        expected = getattr(file.lfs, "sha256", None) if file.lfs else None
        path = folder / file.rfilename
        if not path.exists():
            raise ModelFolderError(f"{file.rfilename} has not come; ask again")
        if expected is None:
            continue
        on_check(file.rfilename)
        if _sha256(path) != expected:
            path.resolve().unlink(missing_ok=True)
            path.unlink(missing_ok=True)
            raise ModelFolderError(f"{file.rfilename} came damaged (its SHA-256 is wrong) and was removed; ask again")


def _wanted(name: str) -> bool:
    return "/" not in name and any(fnmatch.fnmatch(name, pattern) for pattern in _WANTED)


def _sha256(path: Path) -> str:
    digest = sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _explain(name: str, error: Exception) -> str:
    kinds = {kind.__name__ for kind in type(error).__mro__}
    if "HFValidationError" in kinds:
        return f"{name!r} is no model's name; give organisation/model, deepseek-ai/deepseek-coder-1.3b-base say"
    if "OfflineModeIsEnabled" in kinds:
        return "HF_HUB_OFFLINE is set, so nothing is downloaded; unset it, or give the path of a model folder"
    if "GatedRepoError" in kinds:
        return f"{name} must be asked for on its page first; then set HF_TOKEN or run `hf auth login`"
    if "RepositoryNotFoundError" in kinds:
        return f"there is no model {name} (or it is private: set HF_TOKEN)"
    if "RevisionNotFoundError" in kinds:
        return f"{name} has no such revision"
    if kinds & {"ConnectError", "TimeoutException", "TransportError", "LocalEntryNotFoundError", "ConnectionError"}:
        return "the Hugging Face hub cannot be reached; is there a network? A model folder works without one"
    return f"{name} cannot be downloaded: {' '.join(str(error).split())[:200] or type(error).__name__}"
