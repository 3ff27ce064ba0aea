"""pygls' protocol with its edges taken off: one parse, one truth for text, no source in logs.

What differs from pygls 2.1.1, and why:

- A message is structured at its top level only. pygls lets `json` call it for every nested object, and a setting
  that is named `jsonrpc` breaks the message.
- `initialize` is answered from `lsp_server.capabilities`, on standard input before this module is even imported.
- The built-in text, notebook, folder and command handlers are left out: pygls' own copy of a document breaks lines
  where the protocol does not, and would be a second truth.
- A reply to a request of ours that nobody waits for any more is dropped, instead of reported as a broken message.
- Every request gets an answer: also one that cannot be read, comes too early or comes after `shutdown`.
- No popup is ever opened in the editor; a problem is one line in the log.
"""

import json
import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from lsprotocol import types
from pygls.protocol import LanguageServerProtocol

from lsp_server.capabilities import initialize_result

if TYPE_CHECKING:
    from cattrs import Converter
    from pygls.lsp.server import LanguageServer

log = logging.getLogger("midfill.protocol")

_OURS: Final = (
    types.TEXT_DOCUMENT_DID_OPEN,
    types.TEXT_DOCUMENT_DID_CHANGE,
    types.TEXT_DOCUMENT_DID_CLOSE,
    types.NOTEBOOK_DOCUMENT_DID_OPEN,
    types.NOTEBOOK_DOCUMENT_DID_CHANGE,
    types.NOTEBOOK_DOCUMENT_DID_CLOSE,
    types.WORKSPACE_DID_CHANGE_WORKSPACE_FOLDERS,
    types.WORKSPACE_EXECUTE_COMMAND,
    types.INITIALIZE,
)
"""Methods of which pygls' built-in handlers are left out."""

_INVALID_REQUEST: Final = -32600
_INVALID_PARAMS: Final = -32602
_NOT_INITIALIZED: Final = -32002


class Protocol(LanguageServerProtocol):
    """Speaks LSP for one client."""

    def __init__(self, server: "LanguageServer", converter: "Converter") -> None:
        super().__init__(server, converter)
        self.on_initialize: Callable[[Mapping[str, Any]], None] = lambda _params: None
        """Called with the raw parameters of `initialize`, before its answer is sent."""
        self.on_exit: Callable[[int], None] = lambda _code: None
        """Called with the exit code when the client says `exit`."""
        self._initialized = False

    def receive(self, body: bytes) -> None:
        """Handle one message; never raises."""
        message = self._parse(body)
        if message is not None:
            self._receive(message)

    def receive_answered_initialize(self, body: bytes) -> None:
        """Take note of an `initialize` that has its answer already."""
        message = self._parse(body) or {}
        self._initialize(message)

    def structure_message(self, data: dict[str, Any]) -> Any:
        """Return nested objects as they are; `receive` structures the message itself."""
        return data

    def _register_builtin_features(self) -> None:
        super()._register_builtin_features()  # type: ignore[no-untyped-call]
        for method in _OURS:
            self.fm.builtin_features.pop(method, None)

    def _parse(self, body: bytes) -> dict[str, Any] | None:
        try:
            message = json.loads(body)
        except (ValueError, RecursionError):
            log.warning("a message of %d bytes is no JSON; it is ignored", len(body))
            return None
        if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
            log.warning("a message of %d bytes is no JSON-RPC 2.0 object; it is ignored", len(body))
            return None
        return message

    def _receive(self, message: dict[str, Any]) -> None:
        method, message_id = message.get("method"), message.get("id")
        if method is None:
            if self._is_awaited(message_id):
                self._dispatch(message)
            return
        if method == types.EXIT:
            self.on_exit(0 if self._shutdown else 1)
        elif message_id is None:
            # Before `initialize` and after `shutdown` notifications are dropped, as the protocol asks.
            if self._initialized and not self._shutdown:
                self._dispatch(message)
        elif method == types.INITIALIZE and not self._initialized:
            self._send_data({"jsonrpc": "2.0", "id": message_id, "result": self._initialize(message)})
        elif method == types.INITIALIZE or self._shutdown:
            self._refuse(message_id, _INVALID_REQUEST, f"{method} may not be asked now")
        elif not self._initialized:
            self._refuse(message_id, _NOT_INITIALIZED, "initialize comes first")
        else:
            self._dispatch(message)

    def _initialize(self, message: Mapping[str, Any]) -> dict[str, Any]:
        params = message.get("params")
        params = params if isinstance(params, Mapping) else {}
        self._initialized = True
        self.on_initialize(params)
        return initialize_result(params)

    def _dispatch(self, message: dict[str, Any]) -> None:
        try:
            structured = super().structure_message(message)
        except Exception as error:  # noqa: BLE001 - the converter raises whatever a client's odd value provokes
            self._report_unreadable(message, error)
            return
        try:
            self.handle_message(structured)
        except Exception as error:  # noqa: BLE001 - one message must never end the server
            log.error("a %s message failed: %s", message.get("method", "reply"), type(error).__name__)

    def _report_unreadable(self, message: Mapping[str, Any], error: Exception) -> None:
        method, message_id = message.get("method"), message.get("id")
        cause = type(error.__cause__ or error).__name__
        log.warning("the parameters of a %s message make no sense (%s); it is ignored", method, cause)
        if method is not None and message_id is not None:
            self._refuse(message_id, _INVALID_PARAMS, f"the parameters of {method} make no sense")
        elif method is None and message_id is not None:
            future = self._request_futures.pop(message_id, None)
            if future is not None and not future.done():
                future.set_exception(ValueError("the client's reply makes no sense"))

    def _is_awaited(self, message_id: object) -> bool:
        if not isinstance(message_id, str | int):
            return False
        future = self._request_futures.get(message_id)
        if future is not None and not future.done():
            return True
        self._request_futures.pop(message_id, None)
        self._result_types.pop(message_id, None)
        return False

    def _refuse(self, message_id: object, code: int, why: str) -> None:
        self._send_data({"jsonrpc": "2.0", "id": message_id, "error": {"code": code, "message": why}})
