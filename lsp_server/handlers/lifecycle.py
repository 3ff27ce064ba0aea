"""Start, settings and end of a session."""

from lsprotocol import types

from lsp_server.language_server import MidfillServer
from lsp_server.methods import DID_CHANGE_STATUS
from lsp_server.settings import NAMES, SECTION
from lsp_server.status import StatusWatch


async def initialized(ls: MidfillServer, _params: types.InitializedParams) -> None:
    """Ask for settings, start what runs in the background, and ask to be told of files that change."""
    ls.report_problems(ls.initial_problems)
    await pull_configuration(ls)
    ls.session.run()
    if ls.session.client.follows_status:
        ls.watch = StatusWatch(ls.session, lambda now: ls.tell(DID_CHANGE_STATUS, now))
        ls.watch.start()
    await _register(ls)


async def did_change_configuration(ls: MidfillServer, params: types.DidChangeConfigurationParams) -> None:
    """Ask for the settings anew, or take those that came along where the client cannot be asked."""
    if ls.session.client.asks_configuration:
        await pull_configuration(ls)
    elif _is_about_us(params.settings):
        ls.report_problems(ls.session.configure("configuration", params.settings))


async def pull_configuration(ls: MidfillServer) -> None:
    """Ask the client for its `midfill` settings; without an answer in time the others stay in force."""
    if not ls.session.client.asks_configuration:
        return
    item = types.ConfigurationItem(section=SECTION)
    reply = await ls.ask(types.WORKSPACE_CONFIGURATION, types.ConfigurationParams(items=[item]))
    if isinstance(reply, (list, tuple)) and reply:
        ls.report_problems(ls.session.configure("configuration", reply[0]))


def _is_about_us(settings: object) -> bool:
    """Whether settings that were pushed unasked say anything of ours: some clients push everybody's."""
    if isinstance(settings, dict) and SECTION in settings:
        return True
    return isinstance(settings, dict) and any(name in NAMES for name in settings)


async def _register(ls: MidfillServer) -> None:
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
        await ls.ask(types.CLIENT_REGISTER_CAPABILITY, types.RegistrationParams(registrations=registrations))
