import json
from dataclasses import replace

import numpy as np
import pytest

from engine.cache_model import CacheModel, Mixture, MixtureSamples, fit_mixture
from engine.errors import ModelFolderError
from engine.line_features import BY_PROBABILITY
from engine.ngram import NgramModel

FILE = NgramModel.of_documents([[1, 2, 3, 1, 2, 3]], 10)
COLLECTION = NgramModel.of_documents([[1, 2, 4, 1, 2, 4, 1, 2, 4]], 10)
EMPTY = NgramModel.of_documents([[], []], 10)
NETWORK = np.full(10, 0.1, np.float32)


@pytest.mark.parametrize("network", [None, NETWORK])
@pytest.mark.parametrize("file", [FILE, EMPTY])
@pytest.mark.parametrize("collection", [COLLECTION, EMPTY, None])
@pytest.mark.parametrize("context", [[], [1, 2], [9, 9]])
def test_whatever_is_missing_the_mixture_is_a_distribution(network, file, collection, context):
    model = CacheModel(Mixture.default(), file=file, collection=collection)
    mixed = model.mix_alone(context) if network is None else model.mix(context, network, end_ids=[7])
    assert mixed.shape == (10,)
    assert mixed.dtype == np.float32
    assert (mixed >= 0).all()
    assert mixed.sum() == pytest.approx(1, abs=1e-5)


def test_without_any_code_the_network_answers_alone():
    network = np.arange(10, dtype=np.float32) / 45
    mixed = CacheModel(Mixture.default(), file=EMPTY, collection=None).mix([1], network, end_ids=())
    np.testing.assert_allclose(mixed, network)


def test_the_file_outweighs_the_collection_at_equal_matches():
    mixed = CacheModel(Mixture.default(), file=FILE, collection=COLLECTION).mix([1, 2], NETWORK, end_ids=())
    assert mixed[3] > mixed[4] > mixed[5]


@pytest.mark.parametrize("ending", [0.0, 0.4, 1.0])
def test_the_network_alone_decides_whether_to_end(ending):
    network = np.full(10, (1 - ending) / 9, np.float32)
    network[7] = ending
    mixed = CacheModel(Mixture.default(), file=FILE, collection=COLLECTION).mix([1, 2], network, end_ids=[7])
    assert mixed[7] == pytest.approx(ending)
    assert mixed.sum() == pytest.approx(1, abs=1e-5)


def test_weights_survive_json():
    mixture = Mixture.from_json(json.loads(json.dumps(Mixture.default().to_json())))
    np.testing.assert_allclose(mixture.with_network, Mixture.default().with_network, atol=1e-3)
    np.testing.assert_allclose(mixture.alone, Mixture.default().alone, atol=1e-3)
    assert Mixture.from_json(replace(mixture, proposed_lines=4).to_json()).proposed_lines == 4
    assert (mixture.with_network[:, 0, 1] == 0).all()
    assert (mixture.with_network[0, :, 2] == 0).all()


def test_a_mixture_keeps_the_weights_of_lines():
    weights = {"log_probability": 0.75, "open_brackets": -1.5}
    assert Mixture.from_json(replace(Mixture.default(), line_weights=weights).to_json()).line_weights == weights


def test_a_mixture_without_weights_of_lines_compares_them_by_probability():
    raw = Mixture.default().to_json()
    del raw["line_weights"]
    assert Mixture.from_json(raw).line_weights == BY_PROBABILITY


def broken(**changes):
    return Mixture.default().to_json() | changes


@pytest.mark.parametrize(
    "raw",
    [
        {},
        broken(match_bucket_starts=[0, 1]),
        broken(match_bucket_starts=3),
        broken(alone=[[1]]),
        broken(alone="x"),
        broken(with_network=(-Mixture.default().with_network).tolist()),
        broken(with_network=(Mixture.default().with_network * 0).tolist()),
        broken(with_network=(Mixture.default().with_network * float("nan")).tolist()),
        broken(proposed_lines=-1),
        broken(proposed_lines=1000),
        broken(proposed_lines="many"),
        broken(line_weights=[1.0]),
        broken(line_weights={"log_probability": "much"}),
        broken(line_weights={"log_probability": float("nan")}),
        broken(line_weights={"beauty": 1.0}),
    ],
)
def test_a_broken_mixture_is_one_clear_error(raw):
    with pytest.raises(ModelFolderError, match=r"mixture\.json"):
        Mixture.from_json(raw)


def samples(rng, count, *, network, collection, file):
    return MixtureSamples(
        network=network(rng, count).astype(np.float32),
        collection=collection(rng, count).astype(np.float32),
        file=file(rng, count).astype(np.float32),
        collection_match=rng.integers(-1, 16, count),
        file_match=rng.integers(0, 16, count),
    )


def test_a_fit_raises_the_likelihood_of_what_it_was_fitted_to():
    rng = np.random.default_rng(0)
    data = samples(
        rng,
        20_000,
        network=lambda rng, n: rng.random(n) * 0.8,
        collection=lambda rng, n: rng.random(n) * 0.1,
        file=lambda rng, n: rng.random(n) * 0.2,
    )
    data.collection[data.collection_match < 0] = 0
    assert likelihood(fit_mixture(data, Mixture.default()), data) > likelihood(Mixture.default(), data) + 0.1


def test_a_fit_finds_the_part_that_is_right():
    rng = np.random.default_rng(1)
    high, low = (lambda rng, n: 0.8 + rng.random(n) * 0.1), (lambda rng, n: rng.random(n) * 0.01)
    fitted = fit_mixture(samples(rng, 50_000, network=low, collection=high, file=low), Mixture.default())
    assert (fitted.with_network[1:, 1:, 1] > 0.8).all()
    assert (fitted.alone[1:, 1:, 0] > 0.8).all()


def test_a_fit_of_few_samples_stays_near_the_default():
    rng = np.random.default_rng(2)
    some = lambda rng, n: rng.random(n)  # noqa: E731
    fitted = fit_mixture(samples(rng, 3, network=some, collection=some, file=some), Mixture.default())
    np.testing.assert_allclose(fitted.with_network, Mixture.default().with_network, atol=0.15)


def likelihood(mixture, data):
    starts = (0, 1, 2, 3, 4, 6, 9, 15)
    cells = (
        np.searchsorted(starts, data.file_match, side="right"),
        np.searchsorted(starts, data.collection_match, side="right"),
    )
    parts = np.stack([data.network, data.collection, data.file], axis=1)
    return np.log((mixture.with_network[cells] * parts).sum(axis=1)).mean()
