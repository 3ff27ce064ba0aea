"""Start, settings and end of a session."""

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final

from lsprotocol import types

from lsp_server.settings import NAMES, SECTION

if TYPE_CHECKING:
    from lsp_server.server import MidfillServer

log = logging.getLogger("midfill.session")

_CLIENT_SECONDS: Final = 2.0
"""How long a client may take to answer a request of ours."""


async def initialized(ls: "MidfillServer", _params: types.InitializedParams) -> None:
    """Ask for settings, start what runs in the background, and ask to be told of files that change."""
    ls.report_problems(ls.initial_problems)
    await pull_configuration(ls)
    ls.session.run()
    await _register(ls)


async def did_change_configuration(ls: "MidfillServer", params: types.DidChangeConfigurationParams) -> None:
    """Ask for the settings anew, or take those that came along where the client cannot be asked."""
    if ls.session.client.asks_configuration:
        await pull_configuration(ls)
    elif _is_about_us(params.settings):
        ls.report_problems(ls.session.configure("configuration", params.settings))


async def pull_configuration(ls: "MidfillServer") -> None:
    """Ask the client for its `midfill` settings; without an answer in time the others stay in force."""
    if not ls.session.client.asks_configuration:
        return
    item = types.ConfigurationItem(section=SECTION)
    reply = await ask_client(ls, types.WORKSPACE_CONFIGURATION, types.ConfigurationParams(items=[item]))
    if isinstance(reply, (list, tuple)) and reply:
        ls.report_problems(ls.session.configure("configuration", reply[0]))


async def ask_client(ls: "MidfillServer", method: str, params: object) -> Any:
    """Send a request to the client and wait a little for its answer; None when there is none."""
    # Shielded: a reply to a future that was cancelled meanwhile is an error in pygls.
    reply = asyncio.wrap_future(ls.protocol.send_request(method, params))
    try:
        return await asyncio.wait_for(asyncio.shield(reply), _CLIENT_SECONDS)
    except TimeoutError:
        log.warning("the client did not answer %s in time", method)
    except Exception as error:  # noqa: BLE001 - whatever a client refuses with, we go on without
        log.warning("the client refused %s (%s)", method, type(error).__name__)
    reply.add_done_callback(_ignore)
    return None


def _ignore(reply: "asyncio.Future[Any]") -> None:
    if not reply.cancelled():
        reply.exception()


def _is_about_us(settings: object) -> bool:
    """Whether settings that were pushed unasked say anything of ours: some clients push everybody's."""
    if isinstance(settings, dict) and SECTION in settings:
        return True
    return isinstance(settings, dict) and any(name in NAMES for name in settings)


async def _register(ls: "MidfillServer") -> None:
    wanted = {
        types.WORKSPACE_DID_CHANGE_CONFIGURATION: types.DidChangeConfigurationRegistrationOptions(section=SECTION),
        types.WORKSPACE_DID_CHANGE_WATCHED_FILES: types.DidChangeWatchedFilesRegistrationOptions(
            watchers=[types.FileSystemWatcher(glob_pattern="**/*")]
        ),
    }
    registrations = [
        types.Registration(id=f"midfill-{method}", method=method, register_options=options)
        for method, options in wanted.items()
        if method in ls.session.client.registers
    ]
    if registrations:
        await ask_client(ls, types.CLIENT_REGISTER_CAPABILITY, types.RegistrationParams(registrations=registrations))
