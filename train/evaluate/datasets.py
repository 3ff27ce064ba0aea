"""Reads what is measured on where it lies: benchmark files (JSON lines or lists, gzipped or not) and repositories."""

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from repo_context.errors import RepositoryNotFoundError
from repo_context.scan import Scanner
from train.data.document import SourceDocument
from train.errors import EvaluationError


def read_rows(data: Path, names: Sequence[str], fields: Sequence[str]) -> list[dict[str, Any]]:
    """Read a data set's rows.

    Args:
        data: the file, or the folder that holds one of `names`.
        names: of the file, in the spellings that releases use; `.gz` may be missing or added.
        fields: every row must have them.

    Raises:
        EvaluationError: there is no such file, or it is of another shape.
    """
    path = _find(data, names)
    try:
        raw = path.read_bytes()
        text = (gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw).decode("utf-8")
        rows = json.loads(text) if text.lstrip().startswith("[") else [json.loads(line) for line in _lines(text)]
    except (OSError, ValueError, EOFError) as error:
        raise EvaluationError(f"{path} is broken ({error}); fetch it again") from error
    for number, row in enumerate(rows):
        missing = [field for field in fields if not isinstance(row, dict) or field not in row]
        if missing:
            raise EvaluationError(f"{path}, row {number}: no field {missing[0]!r}; is it the right data set?")
    return list(rows)


def read_repository(root: Path, language: str) -> list[SourceDocument]:
    """Read the files of one language that `repo_context` would index, in the order of their paths.

    Raises:
        EvaluationError: there is no such folder, or it holds no such files.
    """
    try:
        files = Scanner(root.resolve()).scan().files
    except RepositoryNotFoundError as error:
        raise EvaluationError(str(error)) from error
    documents = []
    for file in files:
        if file.language.name != language:
            continue
        try:
            text = (root / file.path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            continue  # gone since, or no text: no hole can be cut there
        if text.strip():
            documents.append(
                SourceDocument(
                    repository=root.resolve().name,
                    path=file.path,
                    language=language,
                    comment=file.language.comment,
                    text=text,
                )
            )
    if not documents:
        raise EvaluationError(f"{root} holds no {language} source")
    return documents


def _lines(text: str) -> list[str]:
    return [line for line in text.split("\n") if line.strip()]  # splitlines would cut at U+2028 inside strings


def _find(data: Path, names: Sequence[str]) -> Path:
    if data.is_file():
        return data
    for name in names:
        for spelling in (name, name.removesuffix(".gz"), f"{name}.gz"):
            if (data / spelling).is_file():
                return data / spelling
    raise EvaluationError(f"{data} holds none of {', '.join(names)}; give --data the file or its folder")
