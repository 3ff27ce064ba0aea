"""Fits the regression behind the confidence gate on what `benchmarks.behaviour --calibrate` wrote.

    python -m benchmarks.calibrate_confidence SAMPLES.jsonl ... [--write]

Each file is one repository. Every file is left out once to see how well the others predict it; the last fit is on all.
`--write` puts the weights into lsp_server/completion/calibration.json. The probabilities that `assertiveness` asks for
are not fitted but chosen: docs/behaviour.md says by which figures.
"""

import argparse
import json
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

NAMES: Final = (
    "bias",
    "total",
    "mean",
    "lowest",
    "log_length",
    "whole_line",
    "at_line_start",
    "in_word",
    "after_dot",
    "in_comment",
)
RIDGE: Final = 1.0
STEPS: Final = 30
TARGET: Final = Path(__file__).parents[1] / "lsp_server" / "completion" / "calibration.json"

Floats = npt.NDArray[np.float64]


def main() -> None:
    """Print how well the regression predicts, and its weights."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("samples", type=Path, nargs="+")
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    tables = [_read(path) for path in arguments.samples]
    for left_out, path in enumerate(arguments.samples):
        others = [table for number, table in enumerate(tables) if number != left_out]
        if others:
            _report(path.stem, fit(*_joined(others)), *tables[left_out])
    weights = fit(*_joined(tables))
    _report("all of them", weights, *_joined(tables))
    print({name: round(float(weight), 4) for name, weight in zip(NAMES, weights, strict=True)})
    if arguments.write:
        known: dict[str, Any] = json.loads(TARGET.read_text("utf-8"))
        known["weights"] = {name: round(float(weight), 4) for name, weight in zip(NAMES, weights, strict=True)}
        TARGET.write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")


def fit(values: Floats, kept: Floats, share: Floats) -> Floats:
    """Return the weights of the ridge-regularised logistic regression, by Newton's method.

    Args:
        values: (samples, features).
        kept: 1 where the text was kept, else 0.
        share: weight of each sample.
    """
    weights = np.zeros(values.shape[1])
    ridge = RIDGE * np.eye(values.shape[1])
    for _ in range(STEPS):
        expected = _probability(values, weights)
        gradient = values.T @ (share * (kept - expected)) - ridge @ weights
        curvature = (values * (share * expected * (1 - expected))[:, None]).T @ values + ridge
        weights = weights + np.linalg.solve(curvature, gradient)
    return weights


def _report(name: str, weights: Floats, values: Floats, kept: Floats, share: Floats) -> None:
    expected = _probability(values, weights)
    area, alone = _area(expected, kept), _area(values[:, 1], kept)
    print(f"{name}: {len(kept)} samples, {100 * np.average(kept, weights=share):.1f} % kept")
    print(f"    area under the curve {area:.3f}; by the text's own probability alone {alone:.3f}")
    for low in np.arange(0.0, 1.0, 0.2):
        inside = (expected >= low) & (expected < low + 0.2)
        if inside.any():
            said = 100 * np.average(expected[inside], weights=share[inside])
            true = 100 * np.average(kept[inside], weights=share[inside])
            print(f"    said {said:5.1f} %, came true {true:5.1f} %")


def _probability(values: Floats, weights: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-(values @ weights))))


def _area(expected: Floats, kept: Floats) -> float:
    order = np.argsort(expected)
    ranks = np.empty(len(expected))
    ranks[order] = np.arange(1, len(expected) + 1)
    good, bad = kept.sum(), len(kept) - kept.sum()
    return float((ranks[kept == 1].sum() - good * (good + 1) / 2) / max(good * bad, 1))


def _read(path: Path) -> tuple[Floats, Floats, Floats]:
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    places = np.array([row["place"] for row in rows])
    # Cuts of one suggestion are one look of one person.
    share = 1 / np.bincount(places)[places]
    values = np.array([[row[name] for name in NAMES] for row in rows])
    return values, np.array([row["kept"] for row in rows]), share


def _joined(tables: list[tuple[Floats, Floats, Floats]]) -> tuple[Floats, Floats, Floats]:
    first, second, third = zip(*tables, strict=True)
    return np.concatenate(first), np.concatenate(second), np.concatenate(third)


if __name__ == "__main__":
    main()
