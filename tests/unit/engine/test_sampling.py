from collections import Counter

import numpy as np
import pytest

from engine.decoding.sampling import greedy, restrict, with_temperature

PROBABILITIES = np.array([0.1, 0.2, 0.4, 0.3, 0.0], np.float32)


def test_greedy_takes_the_likeliest_and_the_first_among_equals():
    assert greedy(PROBABILITIES) == 2
    assert greedy(np.array([0.2, 0.4, 0.4], np.float32)) == 1
    assert with_temperature(0.0, seed=3) is greedy


def test_the_same_seed_draws_the_same_tokens():
    first, second = with_temperature(1.0, seed=7), with_temperature(1.0, seed=7)
    assert [first(PROBABILITIES) for _ in range(50)] == [second(PROBABILITIES) for _ in range(50)]


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_draws_follow_the_tempered_distribution(temperature):
    choose = with_temperature(temperature, seed=1)
    drawn = Counter(choose(PROBABILITIES) for _ in range(20_000))
    expected = PROBABILITIES.astype(np.float64) ** (1 / temperature)
    expected /= expected.sum()
    for token, probability in enumerate(expected):
        assert drawn[token] / 20_000 == pytest.approx(probability, abs=0.02)
    assert drawn[4] == 0


def test_a_tiny_temperature_is_greedy():
    choose = with_temperature(1e-6, seed=1)
    assert {choose(PROBABILITIES) for _ in range(20)} == {2}


def test_restricting_keeps_proportions_and_survives_underflow():
    np.testing.assert_allclose(restrict(PROBABILITIES, np.array([0, 3])), [0.25, 0, 0, 0.75, 0])
    np.testing.assert_allclose(restrict(PROBABILITIES, np.array([4])), [0, 0, 0, 0, 1])
