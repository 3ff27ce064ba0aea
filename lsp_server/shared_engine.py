"""The engine that a server or a verb uses: this machine's shared process for the model in the settings."""

from engine.api import Engine
from engine.client import EngineClient, EngineSettings
from lsp_server.settings import Settings


async def connect_shared_engine(settings: Settings) -> Engine:
    """Reach this machine's engine process for a model, starting it if need be.

    Raises:
        EngineError: it cannot be started, or cannot serve that model.
    """
    return await EngineClient.connect(EngineSettings(model=settings.model, threads=settings.threads or None))
