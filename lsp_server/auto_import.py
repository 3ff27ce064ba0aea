"""Adds the import that an accepted suggestion needs, where the repository says clearly which one it is."""

from typing import Final

from lsprotocol import types

from lsp_server.completion.auto_import import Insertion, names_to_import, plan_import
from lsp_server.document import Document
from lsp_server.language_server import MidfillServer
from lsp_server.positions import column_of_index
from repo_context.languages import language_of

_WAIT_SECONDS: Final = 0.5
"""The text is in already: nobody waits for this, but an edit that comes much later would be a surprise."""


async def import_what_is_missing(ls: MidfillServer, uri: str, accepted: str) -> None:
    """Import the names of an accepted text that its file does not know and the repository does, one edit at a time."""
    document = ls.session.documents.get(uri)
    if document is None:
        return
    path, index = ls.session.index_of_document(document)
    language = language_of(path)
    if index is None or language is None:
        return
    others = "\n".join(
        (document.text.replace(accepted, "", 1), *ls.session.notebooks.around(document, ls.session.documents))
    )
    for name in names_to_import(accepted, others, language.name):
        reply = await index.ask({"do": "import", "path": path, "name": name}, wait=_WAIT_SECONDS)
        wanted = reply.get("import")
        document = ls.session.documents.get(uri)
        if wanted is None or document is None or _has_import(document, name):
            continue
        module, is_default = wanted["module"], wanted["is_default"]
        if not is_default and wanted["name"] != name:
            continue
        insertion = plan_import(document.lines, language.name, module, name, is_default=is_default)
        await _apply(ls, document, insertion)


def _has_import(document: Document, name: str) -> bool:
    return any(line.lstrip().startswith(("import", "from")) and name in line for line in document.lines)


async def _apply(ls: MidfillServer, document: Document, insertion: Insertion) -> None:
    line = document.lines[insertion.line] if insertion.line < len(document.lines) else ""
    body = line.rstrip("\r\n")
    end = next((end for end in ("\r\n", "\n", "\r") if document.lines[0].endswith(end)), "\n")
    if insertion.replaces_line:
        last, text = column_of_index(body, len(body), document.encoding), insertion.text
    else:
        last, text = 0, insertion.text + end
    place = types.Range(types.Position(insertion.line, 0), types.Position(insertion.line, last))
    edit = types.TextDocumentEdit(
        text_document=types.OptionalVersionedTextDocumentIdentifier(uri=document.uri, version=document.version),
        edits=[types.TextEdit(range=place, new_text=text)],
    )
    params = types.ApplyWorkspaceEditParams(
        label="midfill: add the import", edit=types.WorkspaceEdit(document_changes=[edit])
    )
    await ls.ask(types.WORKSPACE_APPLY_EDIT, params)
