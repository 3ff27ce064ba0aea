"""Fitting the choice among lines: the likelihood's maximum, kept near the built-in weights where little was seen."""

import numpy as np
import pytest

from engine.line_features import BY_PROBABILITY, FEATURES
from train.stages.fit_lines import _RIDGE, Comparison, fit_line_weights


def _comparisons(true_weights, count, seed=0):
    chance = np.random.default_rng(seed)
    for _ in range(count):
        features = chance.normal(size=(5, len(FEATURES)))
        scores = features @ true_weights + chance.gumbel(size=5)
        yield Comparison(features, int(np.argmax(scores)))


def test_weights_that_made_the_choices_are_found():
    true_weights = np.linspace(-2, 2, len(FEATURES))
    fitted = fit_line_weights(list(_comparisons(true_weights, 4000)), BY_PROBABILITY)
    assert list(fitted) == list(FEATURES)
    np.testing.assert_allclose(list(fitted.values()), true_weights, atol=0.15)


def test_no_other_weights_are_likelier():
    """The Newton steps against the definition, a little to every side of what they found."""
    comparisons = list(_comparisons(np.ones(len(FEATURES)), 60))
    spread = np.concatenate([comparison.features for comparison in comparisons]).std(axis=0)
    start = np.array([BY_PROBABILITY.get(name, 0.0) for name in FEATURES])
    best = np.array(list(fit_line_weights(comparisons, BY_PROBABILITY).values()))

    def likelihood(weights):
        total = -_RIDGE * (((weights - start) * spread) ** 2).sum()
        for comparison in comparisons:
            scores = comparison.features @ weights
            total += scores[comparison.right] - np.log(np.exp(scores).sum())
        return total

    for index in range(len(FEATURES)):
        for step in (-0.01, 0.01):
            assert likelihood(best) > likelihood(best + step * np.eye(len(FEATURES))[index])


@pytest.mark.parametrize("count", [0, 1])
def test_few_choices_leave_the_weights_of_a_model_that_brings_none(count):
    fitted = fit_line_weights(list(_comparisons(np.ones(len(FEATURES)), count)), BY_PROBABILITY)
    for name in FEATURES:
        assert fitted.get(name, 0.0) == pytest.approx(BY_PROBABILITY.get(name, 0.0), abs=0.6 * count)


def test_a_feature_that_never_differs_gets_no_weight():
    comparisons = list(_comparisons(np.ones(len(FEATURES)), 50))
    for comparison in comparisons:
        comparison.features[:, -1] = 4.0
    assert fit_line_weights(comparisons, BY_PROBABILITY)[FEATURES[-1]] == pytest.approx(0.0, abs=1e-9)
