"""What plug-ins ask and tell beyond the standard; docs/protocol.md."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from pygls.exceptions import JsonRpcInvalidParams

from lsp_server import stats_report
from lsp_server.language_server import MidfillServer
from lsp_server.status import short_status
from lsp_server.status import status as full_status


def status(ls: MidfillServer, _params: object) -> dict[str, Any]:
    """Answer `midfill/status`."""
    return full_status(ls.session)


def set_enabled(ls: MidfillServer, params: object) -> dict[str, Any]:
    """Answer `midfill/setEnabled`."""
    enabled, language = _field(params, "enabled"), _field(params, "language")
    if not isinstance(enabled, bool) or not isinstance(language, str | None):
        raise JsonRpcInvalidParams("midfill/setEnabled takes {enabled: boolean, language?: string}")
    ls.session.set_enabled(language, enabled=enabled)
    return short_status(ls.session)


def why(ls: MidfillServer, params: object) -> dict[str, Any] | None:
    """Answer `midfill/why`."""
    uri = _field(_field(params, "textDocument"), "uri")
    return ls.session.suggestions.why(uri if isinstance(uri, str) else None)


async def stats(ls: MidfillServer, params: object) -> dict[str, Any]:
    """Answer `midfill/stats`."""
    days = _field(params, "days")
    path = await ls.session.suggestions.stats_path()
    period = float(days) if isinstance(days, int | float) and days > 0 else None
    summary = await asyncio.to_thread(stats_report.summarise, path, days=period)
    return summary | {"text": stats_report.as_markdown(summary)}


def did_show(ls: MidfillServer, params: object) -> None:
    """Take note that an item became visible."""
    ls.session.suggestions.shown.shown(_item_id(params))


def did_partially_accept(ls: MidfillServer, params: object) -> None:
    """Take note that a part of an item was accepted."""
    length = _field(params, "acceptedLength")
    if isinstance(length, int):
        ls.session.suggestions.shown.partially_accepted(_item_id(params), length)


def did_dismiss(ls: MidfillServer, params: object) -> None:
    """Take note that an item was sent away."""
    ls.session.suggestions.shown.dismissed(_item_id(params))


def did_focus(_ls: MidfillServer, _params: object) -> None:
    """Accept what Copilot's clients send; edits and requests say well enough where the user is."""


def _item_id(params: object) -> str:
    arguments = _field(_field(_field(params, "item"), "command"), "arguments")
    first = arguments[0] if isinstance(arguments, Sequence) and arguments else None
    return first if isinstance(first, str) else ""


def _field(value: object, name: str) -> Any:
    """Return a field of what a client sent, which pygls hands over as a named tuple or an object."""
    if isinstance(value, Mapping):
        return value.get(name)
    return getattr(value, name, None)
