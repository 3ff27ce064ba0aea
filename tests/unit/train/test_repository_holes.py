"""Holes for measuring: they fit together again and lie where their kind says."""

import pytest

from train.data.document import SourceDocument
from train.evaluate.repository_holes import HoleKind, draw_holes, edit_similarity, is_exact

TEXT = "import os\n\n\nclass Shop:\n    def open(self, key):\n        return os.path.join(key, 'x')\r\n\n    }\n# end"
DOCUMENT = SourceDocument(repository="r", path="shop.py", language="python", comment="#", text=TEXT)


@pytest.mark.parametrize("kind", HoleKind)
def test_a_hole_put_back_gives_the_document(kind: HoleKind) -> None:
    for hole in draw_holes([DOCUMENT], kind, 100, seed=1):
        assert hole.prefix + hole.truth + hole.suffix == TEXT
        assert "\n" not in hole.truth
        assert hole.suffix[:1] in ("\n", "\r", "")


def test_next_line_holes_stand_behind_the_indentation_of_lines_with_a_letter() -> None:
    holes = draw_holes([DOCUMENT], HoleKind.NEXT_LINE, 100, seed=1)
    lines = sorted(hole.truth for hole in holes)
    assert lines == sorted(
        ["import os", "class Shop:", "def open(self, key):", "return os.path.join(key, 'x')", "# end"]
    )
    assert all(not hole.prefix.rpartition("\n")[2].strip() for hole in holes)


def test_mid_line_holes_have_text_of_the_line_on_both_sides() -> None:
    for hole in draw_holes([DOCUMENT], HoleKind.MID_LINE, 100, seed=1):
        assert hole.prefix.rpartition("\n")[2].strip()
        assert hole.truth.strip()


def test_holes_depend_on_the_seed_alone() -> None:
    draws = [draw_holes([DOCUMENT] * 5, HoleKind.MID_LINE, 10, seed=seed) for seed in (1, 1, 2)]
    assert draws[0] == draws[1] != draws[2]


def test_scores_ignore_white_space_at_the_ends_only() -> None:
    assert is_exact("  x = 1 ", "x = 1")
    assert not is_exact("x=1", "x = 1")
    assert edit_similarity("abcd", "abcd ") == 1
    assert edit_similarity("abcd", "abxd") == pytest.approx(0.75)
    assert edit_similarity("", "abc") == 0
