"""`textDocument/inlineCompletion`: a frozen cursor in, a list of items out."""

from lsprotocol import types

from lsp_server.capabilities import ClientProfile
from lsp_server.completion.postprocess import Suggestion, with_plain_insertion
from lsp_server.completion.snapshot import Snapshot, Trigger
from lsp_server.document import Document, Position
from lsp_server.handlers.text_sync import position
from lsp_server.language_server import MidfillServer
from lsp_server.methods import ACCEPT_COMMAND
from lsp_server.session import SelectedCompletion


async def inline_completion(ls: MidfillServer, params: types.InlineCompletionParams) -> types.InlineCompletionList:
    """Answer with suggestions or an empty list; never null, never an error but for a cancelled request."""
    session = ls.session
    # Everything is frozen before the first await: edits that come later belong to later requests.
    document = session.documents.get(params.text_document.uri)
    place = position(params.position)
    selected = _selected(params.context)
    snapshot = session.snapshot(params.text_document.uri, place, _trigger(params.context), selected)
    if document is None or snapshot is None:
        return types.InlineCompletionList(items=[])
    items = []
    for one in await session.answer(snapshot, *document.place(place)):
        if selected is not None:
            item = _extending_item(one.suggestion, snapshot, selected)
        else:
            item = _item(one.suggestion, snapshot, document, place, session.client)
        if item is not None:
            item.command = _accept_command(one.id) if one.id else None
            items.append(item)
    return types.InlineCompletionList(items=items)


def _accept_command(item_id: str) -> types.Command:
    return types.Command(title="midfill: suggestion accepted", command=ACCEPT_COMMAND, arguments=[item_id])


def _item(
    suggestion: Suggestion, snapshot: Snapshot, document: Document, place: Position, client: ClientProfile
) -> types.InlineCompletionItem:
    cursor = document.clamped(place)
    if not client.replaces_whole_line:
        # An empty range where possible: Neovim paints a suggestion that replaces text over that text.
        suggestion = with_plain_insertion(suggestion, snapshot)
        end = document.moved(cursor, suggestion.replaces)
        return types.InlineCompletionItem(insert_text=suggestion.text, range=_range(cursor, end))
    # VS Code keeps such a suggestion while typed indentation is taken back, and wants all of the line's text in it.
    text = snapshot.line_before + suggestion.text
    start, end = Position(line=cursor.line, column=0), document.moved(cursor, suggestion.replaces)
    return types.InlineCompletionItem(insert_text=text, filter_text=text, range=_range(start, end))


def _extending_item(
    suggestion: Suggestion, snapshot: Snapshot, selected: SelectedCompletion
) -> types.InlineCompletionItem | None:
    """Build an item that extends the popup's selected entry over that entry's own range, as the protocol asks."""
    plain = with_plain_insertion(suggestion, snapshot)
    if plain.replaces:
        return None
    text = selected.text + plain.text
    return types.InlineCompletionItem(insert_text=text, range=_range(selected.start, selected.end))


def _trigger(context: types.InlineCompletionContext) -> Trigger:
    invoked = context.trigger_kind == types.InlineCompletionTriggerKind.Invoked
    return Trigger.INVOKED if invoked else Trigger.AUTOMATIC


def _selected(context: types.InlineCompletionContext) -> SelectedCompletion | None:
    info = context.selected_completion_info
    if info is None:
        return None
    return SelectedCompletion(start=position(info.range.start), end=position(info.range.end), text=info.text)


def _range(start: Position, end: Position) -> types.Range:
    return types.Range(
        start=types.Position(line=start.line, character=start.column),
        end=types.Position(line=end.line, character=end.column),
    )
