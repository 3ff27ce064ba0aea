"""Published scores, for the column beside our own; percentages, as printed.

v1 is DeepSeek-Coder (arXiv 2401.14196v2), V2 is DeepSeek-Coder-V2 (arXiv 2406.11931), FIM is Bavarian et al.
(arXiv 2207.14255). A score is only comparable under an equal protocol: the report prints ours.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """One score of one model."""

    suite: str
    metric: str
    model: str
    percent: float
    source: str


def published(suite: str, metric: str) -> list[Published]:
    """Return the published scores for a metric of a suite, in the order of the papers."""
    return [score for score in _SCORES if (score.suite, score.metric) == (suite, metric)]


def _rows(suite: str, metric: str, source: str, scores: dict[str, float]) -> list[Published]:
    return [
        Published(suite=suite, metric=metric, model=model, percent=percent, source=source)
        for model, percent in scores.items()
    ]


_BASE = ("DeepSeek-Coder-Base 1.3B", "DeepSeek-Coder-Base 6.7B", "DeepSeek-Coder-Base 33B")
_NAMES = ("StarCoderBase 16B", "CodeLlama 7B", "CodeLlama 13B", *_BASE)
_T3, _PASS = "v1, table 3", "pass@1"
_TABLE_3 = {
    "humaneval": (31.7, 31.7, 36.0, 34.8, 49.4, 56.1),
    "multipl-e-cpp": (31.1, 29.8, 37.9, 31.1, 50.3, 58.4),
    "multipl-e-java": (28.5, 34.2, 38.0, 32.3, 43.0, 51.9),
    "multipl-e-php": (25.4, 23.6, 34.2, 24.2, 38.5, 44.1),
    "multipl-e-ts": (34.0, 36.5, 45.2, 28.9, 49.7, 52.8),
    "multipl-e-cs": (34.8, 36.7, 43.0, 36.7, 50.0, 51.3),
    "multipl-e-sh": (8.9, 12.0, 16.5, 10.1, 28.5, 32.3),
    "multipl-e-js": (29.8, 29.2, 32.3, 28.6, 48.4, 55.3),
    "mbpp": (42.8, 38.6, 48.4, 46.2, 60.6, 66.0),
}
_FIM_MODELS = ("FIM50 (Bavarian et al.)", "FIM90 (Bavarian et al.)", "InCoder 6B", "code-davinci-002")
_CROSS_MODELS = ("StarCoderBase 7B", "CodeLlama 7B", "DeepSeek-Coder-Base 6.7B")
_LIBRARIES = ("Matplotlib", "Numpy", "Pandas", "Pytorch", "Scipy", "Sklearn", "Tensorflow")
_DS1000 = (
    (32.3, 21.4, 9.3, 8.8, 8.5, 16.5, 8.9),
    (48.4, 35.5, 20.6, 19.1, 22.6, 38.3, 24.4),
    (56.1, 49.6, 25.8, 36.8, 36.8, 40.0, 46.7),
)

_SCORES: list[Published] = [
    *(
        row
        for suite, scores in _TABLE_3.items()
        for row in _rows(suite, _PASS, _T3, dict(zip(_NAMES, scores, strict=True)))
    ),
    *_rows("infilling-single", _PASS, "FIM, table 4", dict(zip(_FIM_MODELS, (73.0, 75.1, 69.0, 91.6), strict=True))),
    *_rows("infilling-multi", _PASS, "FIM, table 4", dict(zip(_FIM_MODELS, (40.6, 44.1, 38.6, 69.9), strict=True))),
    *_rows(
        "infilling-random",
        _PASS,
        "FIM, table 4",
        {"FIM50 (Bavarian et al.)": 52.1, "FIM90 (Bavarian et al.)": 55.1, "code-davinci-002": 74.2},
    ),
    *_rows(
        "fim-line-whole",
        "exact match, py",
        "v1, table 6",
        {"SantaCoder 1.1B": 44.0, "StarCoder 16B": 62.0, "CodeLlama 7B": 67.6, _BASE[0]: 57.4, _BASE[1]: 66.6},
    ),
    *_rows(
        "fim-line",
        "exact match, py",
        "V2, table 6",
        {"StarCoder 16B": 71.5, "CodeLlama 7B": 58.6, _BASE[0]: 74.1, _BASE[1]: 79.8, "V2-Lite-Base": 80.0},
    ),
    *_rows(
        "fim-line",
        "exact match",
        "V2, table 6 (weighted mean)",
        {"StarCoder 16B": 80.2, "CodeLlama 7B": 68.0, _BASE[0]: 81.8, _BASE[1]: 86.1, "V2-Lite-Base": 86.4},
    ),
    *_rows(
        "crosscodeeval-none",
        "exact match",
        "v1, table 7, Python, all tasks",
        dict(zip(_CROSS_MODELS, (6.68, 7.32, 9.53), strict=True)),
    ),
    *_rows(
        "crosscodeeval-none",
        "edit similarity",
        "v1, table 7, Python, all tasks",
        dict(zip(_CROSS_MODELS, (59.55, 59.66, 61.65), strict=True)),
    ),
    *_rows(
        "crosscodeeval-official",
        "exact match",
        "v1, table 7, Python, all tasks",
        dict(zip(_CROSS_MODELS, (13.06, 13.02, 16.14), strict=True)),
    ),
    *_rows(
        "crosscodeeval-official",
        "edit similarity",
        "v1, table 7, Python, all tasks",
        dict(zip(_CROSS_MODELS, (64.24, 64.30, 66.51), strict=True)),
    ),
    *(
        row
        for index, library in enumerate(_LIBRARIES)
        for row in _rows(
            "ds1000",
            f"pass@1, {library}",
            "v1, table 4",
            {model: scores[index] for model, scores in zip(_BASE, _DS1000, strict=True)},
        )
    ),
    *_rows("ds1000", _PASS, "v1, table 4 (all 1,000)", dict(zip(_BASE, (16.2, 30.5, 40.2), strict=True))),
    *_rows("gsm8k", _PASS, "v1, table 8", dict(zip(_BASE, (14.6, 43.2, 60.7), strict=True))),
    *_rows("svamp", _PASS, "v1, table 8", dict(zip(_BASE, (36.7, 58.4, 71.6), strict=True))),
    *_rows(
        "cruxeval-i",
        _PASS,
        "V2, table 8 (with chain of thought)",
        {"DeepSeek-Coder-Instruct 33B": 47.3, "V2-Lite-Instruct": 53.0},
    ),
    *_rows(
        "cruxeval-o",
        _PASS,
        "V2, table 8 (with chain of thought)",
        {"DeepSeek-Coder-Instruct 33B": 50.6, "V2-Lite-Instruct": 52.9},
    ),
]
