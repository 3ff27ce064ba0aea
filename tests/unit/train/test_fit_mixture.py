"""Fitting the mixture: what is recorded is what completing uses, and the fit is no worse than its parts."""

from pathlib import Path

import pytest

from engine.cache_model import Mixture
from engine.line_features import BY_PROBABILITY
from engine.model_folder import read
from engine.prompt import PromptMode
from tests.support.tiny_model import write_tiny_model
from train.cli import main
from train.errors import CorpusError
from train.stages.fit_mixture import _ask, _best, fit, refit


def _repository(folder: Path) -> Path:
    folder.mkdir()
    for name in ("cart", "shop", "order", "stock"):
        text = "".join(f"def {name}_{i}(self, price):\n    return self.total(price, {i})\n\n" for i in range(12))
        (folder / f"{name}.py").write_text(text)
    return folder


def test_a_fitted_mixture_is_written_and_trusts_the_better_part(tmp_path: Path) -> None:
    folder = write_tiny_model(tmp_path / "model")
    report = fit(folder, [_repository(tmp_path / "repository")], holes=10, seed=1)
    assert report.tokens > 50
    assert report.cache < report.network, "a network with random weights knows nothing"
    assert report.both < report.cache + 0.3, "a few hundred tokens do not move the built-in weights all the way"
    assert (read(folder).mixture.proposed_lines > 0) == read(folder).prompt_settings.mode.ends_between_tokens
    shift = read(folder).mixture.with_network[..., 0] - Mixture.default().with_network[..., 0]
    assert shift.min() < -0.1, "weight moved away from the network"


@pytest.mark.parametrize("mode", PromptMode)
def test_lines_are_weighed_where_network_and_ngrams_read_the_same_tokens(tmp_path: Path, mode: PromptMode) -> None:
    model = read(write_tiny_model(tmp_path / "model"))
    asked = _ask(model, _repository(tmp_path / "repository"), holes=8, seed=1)
    fitted = refit(model, [asked], [mode], prior=Mixture.default())
    assert (fitted.report.comparisons > 0) == mode.ends_between_tokens
    assert (fitted.model.mixture.line_weights != BY_PROBABILITY) == mode.ends_between_tokens


@pytest.mark.parametrize(
    ("plain", "suffix_first", "filling", "best"),
    [
        (2.0, 2.1, 3.0, PromptMode.LEFT_TO_RIGHT),
        (2.0, 1.99, 3.0, PromptMode.LEFT_TO_RIGHT),
        (2.0, 1.9, 3.0, PromptMode.SUFFIX_FIRST),
        (2.0, 1.9, 1.5, PromptMode.FILL_IN_THE_MIDDLE),
    ],
)
def test_the_suffix_is_read_where_that_is_worth_it(
    plain: float, suffix_first: float, filling: float, best: PromptMode
) -> None:
    bits = {
        PromptMode.LEFT_TO_RIGHT: plain,
        PromptMode.SUFFIX_FIRST: suffix_first,
        PromptMode.FILL_IN_THE_MIDDLE: filling,
    }
    assert _best(bits) is best
    assert _best({PromptMode.FILL_IN_THE_MIDDLE: filling}) is PromptMode.FILL_IN_THE_MIDDLE


def test_the_command_prints_bits_per_token(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_tiny_model(tmp_path / "model")
    repository = _repository(tmp_path / "repository")
    assert main(["mixture", str(folder), str(repository), "--holes", "5"]) == 0
    assert "bits per token" in capsys.readouterr().out


def test_a_repository_without_source_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_tiny_model(tmp_path / "model")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CorpusError, match="no holes"):
        fit(folder, [tmp_path / "empty"], holes=5, seed=1)
    assert main(["mixture", str(folder), str(tmp_path / "empty")]) == 2
    assert capsys.readouterr().err.startswith("midfill: no holes")
