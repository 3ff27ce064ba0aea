"""Which files the user has open or has edited lately: their text counts more, as the next edit often follows theirs."""

from collections import OrderedDict

MAX_FILES = 20
OPEN_BOOST = 1.15
EDITED_BOOST = 1.4
MAX_EDITED = 5
"""So many of the files edited last get `EDITED_BOOST`; older ones count as open."""


class RecentFiles:
    """The files that were opened or edited last, by path."""

    def __init__(self) -> None:
        self._opened: OrderedDict[str, None] = OrderedDict()
        self._edited: OrderedDict[str, None] = OrderedDict()

    def note_open(self, path: str) -> None:
        """Remember that a file was opened or shown."""
        _put_last(self._opened, path)

    def note_edit(self, path: str) -> None:
        """Remember that a file was edited."""
        _put_last(self._opened, path)
        _put_last(self._edited, path)

    def forget(self, path: str) -> None:
        """Forget a file that was closed or deleted."""
        self._opened.pop(path, None)
        self._edited.pop(path, None)

    def boosts(self) -> dict[str, float]:
        """Return path → factor for its text's scores.

        >>> recent = RecentFiles()
        >>> recent.note_open("a.py"), recent.note_edit("b.py"), recent.boosts()
        (None, None, {'a.py': 1.15, 'b.py': 1.4})
        """
        boosts = dict.fromkeys(self._opened, OPEN_BOOST)
        boosts.update(dict.fromkeys(list(self._edited)[-MAX_EDITED:], EDITED_BOOST))
        return boosts


def _put_last(paths: OrderedDict[str, None], path: str) -> None:
    paths[path] = None
    paths.move_to_end(path)
    if len(paths) > MAX_FILES:
        paths.popitem(last=False)
