"""Which model serves a workspace: the one that `midfill train adapt` made for it, where there is one."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from engine.adapted_models import adapted_or
from lsp_server.settings import Settings


def adapted_to(folders: Iterable[Path], settings: Settings) -> Settings:
    """Return settings that name the model adapted to the first of `folders` that has one, else `settings`.

    Raises:
        EngineError: the cache folder cannot be used.
    """
    if settings.engine_url:
        return settings
    models = (adapted_or(folder, settings.model) for folder in folders)
    return replace(settings, model=next((model for model in models if model != settings.model), settings.model))
