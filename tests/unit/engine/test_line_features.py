"""Features of proposed lines: what each one sees in the text around the cursor."""

import math

import pytest

from engine.line_features import BEHIND, BY_PROBABILITY, FEATURES, LOG_PROBABILITY, Surroundings, score

PREFIX = """import shelf

def load(folder):
    path = folder / "a"
    text = path.read()
"""
SUFFIX = """
    return text

def save(folder):
    path = folder / "b"
"""


@pytest.mark.parametrize(
    ("typed", "line", "feature", "value"),
    [
        ("    ", "text = path.strip()", "characters", 19),
        ("    ", "return text", "repeats_next_line", 1),
        ("    ", "return path", "repeats_next_line", 0),
        ("    re", "turn text", "repeats_next_line", 1),
        ("    ", "other = folder / 'c'", "similar_lines", 0),
        ("    ", 'other = folder / "c"', "similar_lines", math.log(3)),
        ("    ", "text = shelf.find(path)", "unknown_names", 1),
        ("    fo", "lder.close()", "unknown_names", 1),
        ("    folder.", "save()", "unknown_names", 0),
        ("    ", "for line in text:", "indentation_clash", 1),
        ("    ", "line = text", "indentation_clash", 0),
        ("    ", "text = load(", "open_brackets", 1),
        ("    ", "text = load(path)", "open_brackets", 0),
        ("    text = load(", "path)", "open_brackets", 0),
        ("    text = load(", "path", "open_brackets", 1),
    ],
)
def test_a_feature_says_how_a_line_fits(typed, line, feature, value):
    assert Surroundings(PREFIX + typed, SUFFIX).features(line)[feature] == pytest.approx(value)


def test_a_line_that_opens_a_block_fits_before_a_deeper_one():
    around = Surroundings(PREFIX + "    ", "\n        return text\n")
    assert around.features("if text:")["indentation_clash"] == 0
    assert around.features("text = path")["indentation_clash"] == 1


def test_a_bracket_that_the_text_behind_closes_may_stay_open():
    around = Surroundings(PREFIX + "    ", "\n        path,\n    )\n")
    assert around.features("text = load(")["open_brackets"] == 0
    assert around.features("text = load()")["open_brackets"] == 1


def test_a_name_that_stands_far_away_is_known_but_distant():
    far = "treasure = 1\n" + "a1 = 2\n" * 40
    features = Surroundings(far, "\n").features("print(treasure)")
    assert (features["unknown_names"], features["distant_names"]) == (1, 2)


def test_every_feature_is_there():
    features = Surroundings(PREFIX, SUFFIX).features("x")
    assert {*features, LOG_PROBABILITY, BEHIND} == set(FEATURES)


@pytest.mark.parametrize(("prefix", "suffix"), [("", ""), ("x", ""), ("", "\n"), ("\u00e9\t(", "\r\n)\r\n")])
def test_any_text_may_stand_around(prefix, suffix):
    assert all(map(math.isfinite, Surroundings(prefix, suffix).features("\u4e2d = (").values()))


def test_what_has_no_weight_does_not_count():
    assert score({LOG_PROBABILITY: -2.0, BEHIND: -1.0, "characters": 9.0}, BY_PROBABILITY) == -2.5
