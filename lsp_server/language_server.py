"""pygls' server with our session, our protocol, and the ways to speak to the client."""

import asyncio
import logging
from collections.abc import Coroutine, Iterable, Mapping
from typing import Any, Final

from lsprotocol import types
from pygls.lsp.server import LanguageServer
from pygls.protocol import default_converter

from lsp_server import VERSION
from lsp_server.progress import ProgressReports
from lsp_server.protocol import Protocol
from lsp_server.session import Connect, IndexReporter, Session
from lsp_server.status import StatusWatch

log = logging.getLogger("midfill.server")

_CLIENT_SECONDS: Final = 2.0
"""How long a client may take to answer a request of ours."""


class MidfillServer(LanguageServer):
    """One client's server."""

    protocol: Protocol

    def __init__(self, connect: Connect) -> None:
        super().__init__("midfill", VERSION, protocol_cls=Protocol, converter_factory=default_converter)
        reports = ProgressReports(self)
        self.session = Session(connect, IndexReporter(on_progress=reports.on_progress, on_end=reports.on_end))
        self.initial_problems: tuple[str, ...] = ()
        """Lines on `initializationOptions`, to be told when the client listens."""
        self.watch: StatusWatch | None = None
        """Tells the client of changes of the status, where it wants to know."""
        self.protocol.on_initialize = self._take_initialize
        self._loose_ends: set[asyncio.Task[None]] = set()

    @property
    def shows_progress(self) -> bool:
        """Whether the client can show `$/progress`."""
        return self.session.client.shows_progress

    def report_problems(self, problems: Iterable[str]) -> None:
        """Tell a person, in the log and in the client's, what of their settings makes no sense."""
        for problem in problems:
            log.warning("%s", problem)
            message = types.LogMessageParams(type=types.MessageType.Warning, message=f"midfill: {problem}")
            self.tell(types.WINDOW_LOG_MESSAGE, message)

    def report_server_error(self, error: Exception, source: type[Exception]) -> None:
        """Write one log line; no popup, and not the error's text: it may quote source."""
        log.error("%s: %s", source.__name__, type(error).__name__)

    def tell(self, method: str, params: object) -> None:
        """Send the client a notification."""
        self.protocol.notify(method, params)

    async def ask(self, method: str, params: object) -> Any:
        """Send the client a request and wait a little for its answer; None when there is none."""
        # Shielded: a reply to a future that was cancelled meanwhile is an error in pygls.
        reply = asyncio.wrap_future(self.protocol.send_request(method, params))
        try:
            return await asyncio.wait_for(asyncio.shield(reply), _CLIENT_SECONDS)
        except TimeoutError:
            log.warning("the client did not answer %s in time", method)
        except Exception as error:  # noqa: BLE001 - whatever a client refuses with, we go on without
            log.warning("the client refused %s (%s)", method, type(error).__name__)
        reply.add_done_callback(_ignore)
        return None

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Do work in the background."""
        task = asyncio.ensure_future(work)
        self._loose_ends.add(task)
        task.add_done_callback(self._loose_ends.discard)

    def _take_initialize(self, params: Mapping[str, Any]) -> None:
        self.initial_problems = self.session.initialize(params)


def _ignore(reply: "asyncio.Future[Any]") -> None:
    if not reply.cancelled():
        reply.exception()
