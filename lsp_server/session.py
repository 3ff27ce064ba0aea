"""The one object that changes: documents, settings, folders, and what runs for them; hands out frozen snapshots."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Final

from engine.api import Engine, Snippet
from engine.errors import EngineError, EngineUnavailableError
from lsp_server.adapted_model import adapted_to
from lsp_server.capabilities import ClientProfile, read_profile
from lsp_server.completion.snapshot import Snapshot, Trigger
from lsp_server.document import Document, Edit, Position
from lsp_server.engine_link import EngineLink
from lsp_server.index_process import IndexProcess, IndexState
from lsp_server.notebooks import Notebooks
from lsp_server.places import name_of, path_of, refusal_to_index, uri_of, with_extension
from lsp_server.settings import Options, Settings, decode, resolve
from lsp_server.suggestions import Item, Suggestions
from repo_context.languages import comment_marker
from repo_context.snippet import Cursor, IndexProgress

log = logging.getLogger("midfill.session")

_SWITCHES: Final = "switches"
"""The source of what a user turned on or off in the editor."""
_FILES_OF_A_FOLDER: Final = 2000
"""Files taken in at once when a folder is made or renamed; `midfill.reindex` finds the rest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectedCompletion:
    """The entry of the completion popup that a suggestion must extend."""

    start: Position
    end: Position
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexReporter:
    """Whom to tell how a folder's indexing goes."""

    on_progress: Callable[[Path, IndexProgress], None]
    on_end: Callable[[Path, str], None]
    """With one line for a person."""


Connect = Callable[[Settings], Awaitable[Engine]]


class Session:
    """The state of one language server."""

    def __init__(self, connect: Connect, reporter: IndexReporter) -> None:
        """Begin with nothing open.

        Args:
            connect: starts or reaches the engine that settings ask for.
            reporter: told of indexing.
        """
        self.client = ClientProfile()
        self.settings = Settings()
        self.documents: dict[str, Document] = {}
        self.notebooks = Notebooks()
        self.folders: list[Path] = []
        self._reporter = reporter
        self._options: dict[str, Options] = {}
        self._indexes: dict[Path, IndexProcess] = {}
        self._loose_ends: set[asyncio.Task[None]] = set()
        self._running = False
        self.engine = EngineLink(
            lambda: connect(adapted_to(self.folders, self.settings)),
            on_ready=self._teach_everything,
            on_taught=lambda: self.suggestions.forget_unshown(),
        )
        self.suggestions = Suggestions(
            engine=self.engine.engine,
            find_snippets=self._find_snippets,
            index_of=lambda root: self._indexes.get(Path(root)) if root is not None else None,
            on_engine_error=self._engine_failed,
            on_engine_answer=self.engine.heard,
            settings=lambda: self.settings,
            document=lambda uri: self.documents.get(uri),
            client=lambda: self.client.name,
        )

    def initialize(self, params: Mapping[str, Any]) -> tuple[str, ...]:
        """Take what a client says of itself; returns one line on each setting that makes no sense."""
        self.client = read_profile(params)
        self.folders = _initial_folders(params)
        return self.configure("initializationOptions", params.get("initializationOptions"))

    def run(self) -> None:
        """Start the engine and the indexes in the background."""
        self._running = True
        self.engine.start()
        for folder in self.folders:
            self._index(folder)

    async def close(self) -> None:
        """End what runs; the shared engine process stays."""
        self._running = False
        closing = [index.close() for index in self._indexes.values()]
        await asyncio.gather(*closing, self.engine.close(), self.suggestions.close())
        self._indexes.clear()

    def configure(self, source: str, raw: object) -> tuple[str, ...]:
        """Replace the options of one source; returns one line on each that makes no sense."""
        options, problems = decode(raw)
        switched = self._options.pop(_SWITCHES, None)
        self._options[source] = options
        if switched is not None:
            self._options[_SWITCHES] = switched
        before, self.settings = self.settings, resolve(*self._options.values())
        if self._running:
            self._apply_change(before, self.settings)
        return problems

    def open_document(self, uri: str, language_id: str, version: int, text: str) -> None:
        """Begin to mirror a document."""
        self.documents[uri] = Document.from_text(
            text, uri=uri, language_id=language_id, version=version, encoding=self.client.encoding
        )
        name, index = self._index_of(uri)
        if index is not None:
            index.note_open(name)

    def change_document(self, uri: str, version: int, edits: Iterable[Edit]) -> None:
        """Follow a client's edits."""
        document = self.documents.get(uri)
        if document is None:
            log.warning("a change to a document that is not open is ignored")
            return
        edits = tuple(edits)
        self.documents[uri] = document = document.edited(edits, version=version)
        self.suggestions.edited(document, edits)
        name, index = self._index_of(uri)
        if index is not None:
            index.update(name, document_text(document))

    def save_document(self, uri: str) -> None:
        """Learn what has just been written to disk."""
        self.file_changed(uri)

    def close_document(self, uri: str) -> None:
        """Stop mirroring; what was not saved is gone."""
        self.documents.pop(uri, None)
        self.suggestions.forget(uri)
        name, index = self._index_of(uri)
        if index is not None:
            index.update(name, None)
            index.note_closed(name)

    def file_changed(self, uri: str) -> None:
        """Follow a file, or a folder of files, that was made or changed on disk; an open file is the editor's."""
        path = path_of(uri)
        if path is not None and path.is_dir():
            for file in islice(filter(Path.is_file, path.rglob("*")), _FILES_OF_A_FOLDER):
                self.file_changed(uri_of(file))
            return
        name, index = self._index_of(uri)
        if path is None or index is None or not path.is_file():
            return
        document = self.documents.get(uri)
        index.update(name, document_text(document) if document else None)
        if name in index.files:
            self.engine.teach(str(index.root), {name: path})

    def file_removed(self, uri: str) -> None:
        """Follow a file, or a folder of files, that is gone."""
        name, index = self._index_of(uri)
        if index is None:
            return
        gone = [known for known in index.files if known == name or known.startswith(f"{name}/")]
        for known in gone:
            index.remove(known)
        if gone:
            self.engine.forget(str(index.root), gone)

    def change_folders(self, added: Iterable[str], removed: Iterable[str]) -> None:
        """Follow the client's workspace folders, given as URIs."""
        for folder in filter(None, map(path_of, removed)):
            if folder in self.folders:
                self.folders.remove(folder)
            index = self._indexes.pop(folder, None)
            if index is not None:
                self._later(index.close())
        for folder in filter(None, map(path_of, added)):
            if folder not in self.folders:
                self.folders.append(folder)
                if self._running:
                    self._index(folder)

    def reindex(self) -> None:
        """Start every index anew."""
        for folder in self.folders:
            index = self._indexes.pop(folder, None)
            if index is not None:
                self._later(index.close())
            self._index(folder)

    def snapshot(
        self, uri: str, position: Position, trigger: Trigger, selected: SelectedCompletion | None = None
    ) -> Snapshot | None:
        """Freeze a cursor; None when its document is not open.

        A selected popup entry counts as typed: suggestions must go on from it.
        """
        document = self.documents.get(uri)
        if document is None:
            return None
        prefix, suffix = document.split_at(position)
        if selected is not None:
            prefix = document.split_at(selected.start)[0] + selected.text
            suffix = document.split_at(selected.end)[1]
        name, root = self._name_of(document)
        cells_above, cells_below = self.notebooks.around(document, self.documents)
        return Snapshot(
            uri=uri,
            version=document.version,
            language_id=document.language_id,
            path=name,
            root=str(root) if root is not None else None,
            comment=comment_marker(name),
            prefix=encodable(prefix),
            suffix=encodable(suffix),
            trigger=trigger,
            cells_above=encodable(cells_above),
            cells_below=encodable(cells_below),
        )

    async def answer(self, snapshot: Snapshot, line: int, index: int) -> list[Item]:
        """Answer a request for suggestions at a place, given by line and index of a character in it."""
        return await self.suggestions.answer(snapshot, line, index)

    def set_enabled(self, language: str | None, *, enabled: bool) -> None:
        """Turn suggestions on or off, everywhere or in one language, whatever the settings say."""
        switched = self._options.pop(_SWITCHES, Options())
        if language is None:
            switched = replace(switched, enabled=enabled)
        else:
            others = self.settings.disabled_languages - {language}
            switched = replace(switched, disabled_languages=others if enabled else others | {language})
        # Last, so that it wins over the settings.
        self._options[_SWITCHES] = switched
        self.settings = resolve(*self._options.values())

    def index_of_document(self, document: Document) -> tuple[str, IndexProcess | None]:
        """Return a document's path in its workspace folder, and that folder's index; a cell's are its notebook's."""
        name, root = self._name_of(document)
        return name, self._indexes.get(root) if root is not None else None

    def indexes(self) -> tuple[IndexProcess, ...]:
        """Return the index of each folder that has one."""
        return tuple(self._indexes.values())

    def _apply_change(self, before: Settings, after: Settings) -> None:
        if before.engine != after.engine:
            self.suggestions.forget_texts()
            self.engine.restart()
        if before.repository_context != after.repository_context:
            self.reindex()

    def _index(self, folder: Path) -> None:
        if not self.settings.repository_context:
            return
        refusal = refusal_to_index(folder)
        if refusal is not None:
            log.warning("not indexed: %s", refusal)
            return
        index = IndexProcess(
            folder,
            model=self.settings.model,
            on_progress=lambda progress: self._reporter.on_progress(folder, progress),
            on_ready=lambda: self._indexed(index),
            on_new_file=lambda name, path: self.engine.teach(str(folder), {name: path}),
            on_failed=lambda why: self._reporter.on_end(folder, why),
        )
        self._indexes[folder] = index
        index.start()

    def _indexed(self, index: IndexProcess) -> None:
        warning = f"; {index.warning}" if index.warning else ""
        self._reporter.on_end(index.root, f"{len(index.files)} files indexed{warning}")
        # Documents that were edited while their repository was being read.
        for document in self.documents.values():
            name, holder = self._index_of(document.uri)
            if holder is index:
                index.note_open(name)
                index.update(name, document_text(document))
        self.suggestions.forget_unshown()
        self.engine.teach(str(index.root), index.files)

    def _teach_everything(self) -> None:
        for index in self._indexes.values():
            if index.state is IndexState.READY:
                self.engine.teach(str(index.root), index.files)

    def _engine_failed(self, engine: Engine, error: EngineError) -> None:
        if isinstance(error, EngineUnavailableError):
            self.engine.lost(engine)

    async def _find_snippets(self, snapshot: Snapshot, settings: Settings) -> Sequence[Snippet]:
        index = self._indexes.get(Path(snapshot.root)) if snapshot.root is not None else None
        if index is None or settings.snippet_budget == 0:
            return ()
        cursor = Cursor(path=snapshot.path, prefix=snapshot.context_above, suffix=snapshot.context_below)
        return await index.snippets_for(cursor, budget=settings.snippet_budget, wait=settings.context_wait_ms / 1000)

    def _name_of(self, document: Document) -> tuple[str, Path | None]:
        notebook = self.notebooks.notebook_of(document.uri)
        name, root = name_of(notebook or document.uri, tuple(self.folders))
        is_file = notebook is None and path_of(document.uri) is not None
        return name if is_file else with_extension(name, document.language_id), root

    def _index_of(self, uri: str) -> tuple[str, IndexProcess | None]:
        name, root = name_of(uri, tuple(self.folders))
        return (name, self._indexes.get(root)) if root is not None else ("", None)

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._loose_ends.add(task)
        task.add_done_callback(self._loose_ends.discard)


def document_text(document: Document) -> Callable[[], str]:
    """Return a function that puts a document's text together for a process that must encode it."""
    return lambda: encodable(document.text)


def encodable(text: str) -> str:
    """Replace lone surrogates, which JSON can carry and no encoder takes, one for one.

    >>> encodable("a\\ud800b")
    'a?b'
    """
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def _initial_folders(params: Mapping[str, Any]) -> list[Path]:
    listed = params.get("workspaceFolders")
    uris = [folder.get("uri") for folder in listed or () if isinstance(folder, Mapping)]
    if not uris and isinstance(params.get("rootUri"), str):
        uris = [params["rootUri"]]
    folders = [path_of(uri) for uri in uris if isinstance(uri, str)]
    if not folders and isinstance(params.get("rootPath"), str):
        folders = [Path(params["rootPath"])]
    return list(dict.fromkeys(folder for folder in folders if folder is not None))
