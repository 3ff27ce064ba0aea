"""Workspace folders that come and go, and files that change outside of the editor's documents."""

from lsprotocol import types

from lsp_server.language_server import MidfillServer


def did_change_workspace_folders(ls: MidfillServer, params: types.DidChangeWorkspaceFoldersParams) -> None:
    """Index folders that were added; end the index of those that were removed."""
    ls.session.change_folders(
        added=[folder.uri for folder in params.event.added],
        removed=[folder.uri for folder in params.event.removed],
    )


def did_change_watched_files(ls: MidfillServer, params: types.DidChangeWatchedFilesParams) -> None:
    """Follow changes on disk."""
    for change in params.changes:
        if change.type == types.FileChangeType.Deleted:
            ls.session.file_removed(change.uri)
        else:
            ls.session.file_changed(change.uri)


def did_create_files(ls: MidfillServer, params: types.CreateFilesParams) -> None:
    """Follow files made in the editor."""
    for file in params.files:
        ls.session.file_changed(file.uri)


def did_rename_files(ls: MidfillServer, params: types.RenameFilesParams) -> None:
    """Follow files renamed in the editor."""
    for file in params.files:
        ls.session.file_removed(file.old_uri)
        ls.session.file_changed(file.new_uri)


def did_delete_files(ls: MidfillServer, params: types.DeleteFilesParams) -> None:
    """Follow files deleted in the editor."""
    for file in params.files:
        ls.session.file_removed(file.uri)
