"""The models a user has named: a small file in the configuration folder, from name to folder or address (no torch)."""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from engine import paths
from engine.errors import EngineError

BUILT_IN: Final = "built-in"
"""The model that comes with midfill."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_ADDRESS = re.compile(r"https?://", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredModel:
    """A model that may be asked for by name."""

    name: str
    source: str
    """A folder, a Hugging Face name, `default` (the model that comes with midfill), or the address of a server."""
    server_model: str = ""
    """As the server calls it; empty is the first one that it lists."""
    format: str = "auto"
    """As in `engine.remote.RemoteSettings`; of no use for a folder, which tells its own."""
    prompt_tokens: int = 2048
    """Longest prompt for a server."""

    @property
    def is_remote(self) -> bool:
        """Whether a server answers for it."""
        return bool(_ADDRESS.match(self.source))


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRegistry:
    """What the file says; changes are made by `saved` copies."""

    models: Mapping[str, RegisteredModel] = field(default_factory=dict)
    chosen: str = BUILT_IN
    """What `default` stands for."""

    @classmethod
    def load(cls) -> "ModelRegistry":
        """Read the file; nothing is registered where there is none.

        Raises:
            EngineError: it is broken, or lies in a folder that is not this user's.
        """
        path = _file()
        try:
            raw = json.loads(path.read_text(encoding="utf-8"))
            models = {name: _model(name, entry) for name, entry in raw["models"].items()}
            chosen = str(raw.get("default", BUILT_IN))
        except FileNotFoundError:
            return cls()
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise EngineError(f"{path} is broken ({error}); mend or remove it") from error
        return cls(models=models, chosen=chosen if chosen in models else BUILT_IN)

    def save(self) -> None:
        """Write the file.

        Raises:
            EngineError: it cannot be written.
        """
        models = {name: _entry(model) for name, model in sorted(self.models.items())}
        path = _file()
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            temporary.write_text(json.dumps({"default": self.chosen, "models": models}, indent=2) + "\n", "utf-8")
            temporary.chmod(0o600)
            temporary.replace(path)
        except OSError as error:
            raise EngineError(f"cannot write {path}: {error.strerror or error}") from error

    def with_model(self, model: RegisteredModel) -> "ModelRegistry":
        """Return a copy that knows `model`, in place of what had its name.

        Raises:
            EngineError: the name is none.
        """
        if not _NAME.fullmatch(model.name) or model.name in ("default", BUILT_IN):
            raise EngineError(
                f"{model.name!r} cannot be a model's name; use letters, digits, '.', '_' and '-', not 'default'"
            )
        return replace(self, models={**self.models, model.name: model})

    def without(self, name: str) -> "ModelRegistry":
        """Return a copy that does not know `name`; if it was the default, the built-in model is again.

        Raises:
            EngineError: no model has that name.
        """
        self._must_know(name)
        models = {other: model for other, model in self.models.items() if other != name}
        return ModelRegistry(models=models, chosen=BUILT_IN if self.chosen == name else self.chosen)

    def using(self, name: str) -> "ModelRegistry":
        """Return a copy whose default is `name`.

        Raises:
            EngineError: no model has that name.
        """
        if name != BUILT_IN:
            self._must_know(name)
        return replace(self, chosen=name)

    def find(self, name: str) -> RegisteredModel:
        """Return what a name in a setting or on a command line stands for.

        A name that is not registered stands for itself: a folder, a Hugging Face name or an address.
        """
        wanted = self.chosen if name == "default" else name
        if wanted == BUILT_IN:
            return RegisteredModel(name=BUILT_IN, source="default")
        return self.models.get(wanted) or RegisteredModel(name=wanted, source=wanted)

    def _must_know(self, name: str) -> None:
        if name not in self.models:
            known = ", ".join([*sorted(self.models), BUILT_IN])
            raise EngineError(f"no model is called {name!r}; there are {known} (`midfill model add NAME PATH_OR_URL`)")


def find_model(name: str) -> RegisteredModel:
    """Return what a name stands for in this user's registry; see `ModelRegistry.find`."""
    return ModelRegistry.load().find(name)


def _file() -> Path:
    return paths.config_folder() / "models.json"


def _model(name: str, raw: Mapping[str, Any]) -> RegisteredModel:
    model = RegisteredModel(name=name, source=raw["source"])
    known = {key: raw[key] for key in ("server_model", "format", "prompt_tokens") if key in raw}
    model = replace(model, **known)
    if not all(isinstance(value, str) for value in (model.source, model.server_model, model.format)):
        raise TypeError(f"model {name!r} has a field that is no text")
    if not isinstance(model.prompt_tokens, int):
        raise TypeError(f"model {name!r} has prompt_tokens that are no number")
    return model


def _entry(model: RegisteredModel) -> dict[str, Any]:
    if not model.is_remote:
        return {"source": model.source}
    return {
        "source": model.source,
        "server_model": model.server_model,
        "format": model.format,
        "prompt_tokens": model.prompt_tokens,
    }
