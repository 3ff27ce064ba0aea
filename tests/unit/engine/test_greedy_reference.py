from benchmarks.greedy_reference import differences
from engine.paths import PACKAGES_FOLDER


def test_greedy_answers_equal_the_slow_reference():
    """A few of the prompts that `python -m benchmarks.greedy_reference` compares by the hundred."""
    assert not list(differences([PACKAGES_FOLDER / "engine" / "decoding"], 8))
