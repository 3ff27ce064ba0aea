"""The engine that a server or a verb uses: this machine's shared process for a model, or a server behind an address."""

from engine.api import Engine
from engine.client import EngineClient
from engine.daemon_start import EngineSettings
from engine.model_registry import RegisteredModel, find_model
from lsp_server.settings import Settings


async def connect_shared_engine(settings: Settings) -> Engine:
    """Reach the engine that the settings ask for; this machine's engine process is started if need be.

    Raises:
        EngineError: it cannot be started or reached, or cannot serve that model.
    """
    return await connect_model(_asked_for(settings), threads=settings.threads, precision=settings.precision)


async def connect_model(model: RegisteredModel, *, threads: int = 0, precision: str = "auto") -> Engine:
    """Reach the engine that serves a model; see `connect_shared_engine`."""
    if not model.is_remote:
        settings = EngineSettings(model=model.source, threads=threads or None, precision=precision)
        return await EngineClient.connect(settings)
    from engine.remote import RemoteEngine, RemoteSettings  # an HTTP client takes its time, and most need none

    return await RemoteEngine.connect(
        RemoteSettings(
            url=model.source, model=model.server_model, format=model.format, prompt_tokens=model.prompt_tokens
        )
    )


def _asked_for(settings: Settings) -> RegisteredModel:
    if not settings.engine_url:
        return find_model(settings.model)
    return RegisteredModel(
        name="engineUrl", source=settings.engine_url, server_model=settings.engine_model, format=settings.engine_format
    )
