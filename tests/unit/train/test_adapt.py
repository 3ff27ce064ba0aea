"""Adapting to a repository: which lines make the exam, and that only a better model is kept."""

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine.adapted_models import adapted_folder, adapted_or
from engine.cache_model import Mixture
from engine.model_folder import read
from tests.support.tiny_model import write_tiny_model
from train.adapt import Adaptation, AdaptSettings, adapt
from train.data.recent_changes import recent_changes
from train.errors import CorpusError


def _git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True)


def _commit(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    _git(folder, "add", ".")
    _git(folder, "commit", "-q", "-m", "change")


def _module(first: int, last: int) -> str:
    return "".join(
        f"def handler_{number}(request):\n    answer = request.load()\n    answer.check()\n    return answer.text\n"
        for number in range(first, last)
    )


def _write_model_without_cache(folder: Path) -> Path:
    """Write a random model whose network alone decides, so that what it learned must show."""
    write_tiny_model(folder)
    usual = Mixture.default()
    network_alone = np.broadcast_to([1.0, 0.0, 0.0], usual.with_network.shape).copy()
    mixture = Mixture(network_alone, usual.alone)
    prompt = json.loads((folder / "prompt.json").read_text(encoding="utf-8")) | {"mode": "suffix-first"}
    (folder / "prompt.json").write_text(json.dumps(prompt), encoding="utf-8")
    (folder / "mixture.json").write_text(json.dumps(mixture.to_json()), encoding="utf-8")
    return folder


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    folder.mkdir()
    _git(folder, "init", "-q")
    _commit(folder, {f"part_{part}.py": _module(100 * part, 100 * part + 90) for part in range(4)})
    _commit(folder, {"part_9.py": _module(900, 990)})
    _commit(folder, {"part_1.py": _module(100, 150) + "ADDED = 1\n" + _module(150, 190), "picture.bin": "x\n"})
    return folder


def test_added_lines_are_numbered_as_today(repository: Path) -> None:
    changes = recent_changes(repository, least_lines=1)
    assert changes.commits == 1
    assert changes.lines == {"part_1.py": frozenset({200})}
    assert (repository / "part_1.py").read_text(encoding="utf-8").splitlines()[200] == "ADDED = 1"


def test_the_past_ends_where_enough_was_added(repository: Path) -> None:
    changes = recent_changes(repository, least_lines=300)
    assert changes.commits == 2
    assert {path: len(lines) for path, lines in changes.lines.items()} == {"part_1.py": 1, "part_9.py": 360}


def test_practice_ends_where_the_exam_begins(repository: Path) -> None:
    exam = recent_changes(repository, least_lines=1)
    practice = recent_changes(repository, least_lines=1, until=exam.past)
    assert practice.until == exam.past
    assert practice.lines == {"part_9.py": frozenset(range(360))}


@pytest.mark.parametrize(("least", "reason"), [(10_000, "adds fewer than 10000 lines")])
def test_a_short_history_is_refused(repository: Path, least: int, reason: str) -> None:
    with pytest.raises(CorpusError, match=reason):
        recent_changes(repository, least_lines=least)


def test_a_folder_without_history_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="not a git repository"):
        recent_changes(tmp_path, least_lines=1)


def test_a_model_that_learned_the_repository_is_kept_and_served(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIDFILL_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("train.adapt._LEAST_LINES", 300)
    model = str(_write_model_without_cache(tmp_path / "model"))
    assert adapted_or(repository, model) == model
    settings = AdaptSettings(tokens=250_000, passes=40, learning_rate=1e-2, holes=20)
    result = adapt(repository, model, settings, tell=lambda _: None, on_step=lambda _: None)
    assert result.commits == 2
    assert result.holes == 40
    assert result.is_better, result
    served = read(Path(adapted_or(repository, model)))
    assert served.folder == adapted_folder(repository, model)
    assert served.transformer.parameter_count() == read(Path(model)).transformer.parameter_count()


def test_without_training_the_mixture_alone_is_fitted_to_practice(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network that knows nothing has nearly all of the weight; the practice lines take it away."""
    monkeypatch.setenv("MIDFILL_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("train.adapt._LEAST_LINES", 300)
    monkeypatch.setattr("train.adapt._PRACTICE_LINES", 300)
    _commit(repository, {"part_8.py": _module(800, 890)})
    folder = write_tiny_model(tmp_path / "model")
    usual = Mixture.default()
    mixture = replace(usual, with_network=np.broadcast_to([0.98, 0.01, 0.01], usual.with_network.shape))
    (folder / "mixture.json").write_text(json.dumps(mixture.to_json()), encoding="utf-8")
    settings = AdaptSettings(tokens=0, holes=40)
    result = adapt(repository, str(folder), settings, tell=lambda _: None, on_step=lambda _: None)
    assert (result.tokens, result.practised, result.commits) == (0, 80, 1)
    assert result.is_better, result
    served = read(adapted_folder(repository, str(folder)))
    assert served.mixture.with_network[..., 0].min() < 0.5
    assert served.prompt_settings == read(folder).prompt_settings


def test_a_model_that_is_no_better_is_not_kept(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIDFILL_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("train.adapt._LEAST_LINES", 300)
    model = str(write_tiny_model(tmp_path / "model"))
    settings = AdaptSettings(tokens=2_000, learning_rate=0.0, holes=5)
    result = adapt(repository, model, settings, tell=lambda _: None, on_step=lambda _: None)
    assert not result.is_better
    assert adapted_or(repository, model) == model


@pytest.mark.parametrize(
    ("trained", "refitted", "kept"), [(4, 4, False), (5, 5, False), (6, 5, True), (5, 6, True), (3, 6, True)]
)
def test_only_more_exact_matches_are_better(trained: int, refitted: int, kept: bool) -> None:
    result = Adaptation(
        model="m",
        past="0" * 40,
        exam="1" * 40,
        commits=5,
        practised=0,
        tokens=1,
        holes=80,
        before=5,
        trained=trained,
        refitted=refitted,
    )
    assert result.is_better == kept
