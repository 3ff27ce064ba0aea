"""Every error repo_context raises on purpose; each message is one line and says what to do.

RepoContextError
├── RepositoryNotFoundError   the folder to index is missing or is no folder
├── IndexFolderError          the index cannot be kept where it was asked to be
├── GrammarMissingError       the grammar of a language is not installed or does not fit
└── ParseAbandonedError       a file takes too long to parse; it is indexed as plain text
"""


class RepoContextError(Exception):
    """Base of all deliberate repo_context errors; `str(error)` is one line for the user."""


class RepositoryNotFoundError(RepoContextError):
    """The folder to index does not exist, is not a folder, or cannot be listed."""


class IndexFolderError(RepoContextError):
    """The index folder lies inside the repository, or cannot be created or written."""


class GrammarMissingError(RepoContextError):
    """A language's grammar package is missing or was built for another tree-sitter."""


class ParseAbandonedError(RepoContextError):
    """A file takes too long to parse."""


class CorruptIndexError(RepoContextError):
    """The index on disk is damaged, or of another format; the caller rebuilds it."""
