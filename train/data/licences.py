"""Reads licences from licence files, never from a column or a badge: which SPDX identifiers does a text stand for?"""

import re
from collections.abc import Iterable, Mapping

from train.data.document import SourceDocument
from train.data.filter_rules import Rule

PERMISSIVE = (
    "0BSD",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "PSF-2.0",
    "Unlicense",
    "Zlib",
)
"""What `permissive` on an allow-list stands for."""
UNKNOWN = "unknown"
"""Stands for a licence file whose text is none of those known here."""

_FILE_NAME = re.compile(r"(?i)^(?:licen[cs]es?|copying|unlicense|mit-license|apache-license)(?:[-._].*)?$")
_NOT_A_LICENCE = re.compile(r"(?i)\.(?:py|js|ts|go|rs|java|c|h|cpp|cs|rb|php|json|ya?ml|toml|xml|html?|sh|tmpl|tpl)$")

# Each text is told by a sentence of its own, white space collapsed. The first that fits decides where one text quotes
# another: the AGPL, SSPL and LGPL hold the GPL's words, BSD-3 holds BSD-2's.
_TEXTS: tuple[tuple[str, str], ...] = (
    ("SSPL-1.0", r"server side public license"),
    ("BUSL-1.1", r"business source license"),
    ("Elastic-2.0", r"elastic license 2\.0"),
    ("AGPL-3.0", r"gnu affero general public license"),
    ("LGPL-3.0", r"gnu lesser general public license.{0,40}version 3"),
    ("LGPL-2.1", r"gnu (?:lesser|library) general public license"),
    ("GPL-3.0", r"gnu general public license.{0,60}version 3"),
    ("GPL-2.0", r"gnu general public license"),
    (
        "Apache-2.0",
        r"apache license,? version 2\.0|apache\.org licenses license-2\.0",
    ),
    ("MPL-2.0", r"mozilla public license,? (?:version|v\.?) ?2\.0|mozilla public license version 2\.0"),
    ("EPL-2.0", r"eclipse public license -? ?v(?:ersion)? ?2\.0"),
    ("EPL-1.0", r"eclipse public license"),
    ("CC0-1.0", r"cc0 1\.0 universal"),
    ("CC-BY-NC", r"attribution-noncommercial"),
    ("CC-BY-SA", r"attribution-sharealike"),
    ("Unlicense", r"this is free and unencumbered software released into the public domain"),
    ("BSL-1.0", r"boost software license - version 1\.0"),
    ("PSF-2.0", r"python software foundation license version 2"),
    ("Zlib", r"this software is provided 'as-is', without any express or implied warranty"),
    (
        "BSD-3-Clause",
        r"redistribution and use in source and binary forms.*neither the names? of .{0,200}may be used to endorse",
    ),
    ("BSD-2-Clause", r"redistribution and use in source and binary forms"),
    (
        "ISC",
        r"permission to use, copy, modify, and(?: or)? distribute this software for any purpose with or without fee is "
        r"hereby granted, provided that the above copyright notice",
    ),
    ("0BSD", r"permission to use, copy, modify, and or distribute this software for any purpose"),
    ("MIT", r"permission is hereby granted, free of charge, to any person obtaining a copy"),
)
_COMPILED = tuple((name, re.compile(pattern, re.DOTALL)) for name, pattern in _TEXTS)
_HEADER = re.compile(r"SPDX-License-Identifier:\s*([A-Za-z0-9.+\-() ]+)")
_LETTERS_ONLY = re.compile(r"[\s*#/]+")
_LONGEST_TEXT = 60_000


def is_licence_file(path: str) -> bool:
    """Say whether a path's name is that of a licence file.

    >>> is_licence_file("LICENSE-MIT"), is_licence_file("src/license.py"), is_licence_file("COPYING.LESSER")
    (True, False, True)
    """
    name = path.rpartition("/")[2]
    return bool(_FILE_NAME.match(name)) and not _NOT_A_LICENCE.search(name)


def identify(text: str) -> str:
    """Return the SPDX identifier of a licence text, `unknown` for any other text.

    >>> identify("Permission is hereby granted, free of charge, to any person\\n obtaining a copy of this software")
    'MIT'
    """
    collapsed = _LETTERS_ONLY.sub(" ", text[:_LONGEST_TEXT]).lower()
    return next((name for name, pattern in _COMPILED if pattern.search(collapsed)), UNKNOWN)


def nearest_licence(path: str, licences: Mapping[str, Iterable[str]]) -> str:
    """Return what the licence files nearest above `path` say, joined by AND; empty when there is none.

    `licences`: folder (empty for the root) → the identifiers of the licence files in it. Two files side by side may be
    a choice or both bind; the identifiers are joined so that an allow-list must hold them all.

    >>> nearest_licence("vendor/x/a.c", {"": ["MIT"], "vendor/x": ["GPL-2.0"]})
    'GPL-2.0'
    """
    folder = path
    while folder:
        folder = folder.rpartition("/")[0]
        if folder in licences:
            return " AND ".join(sorted(set(licences[folder])))
    return ""


def licence_rule(allowed: Iterable[str]) -> Rule:
    """Return the rule that keeps files under these SPDX identifiers alone; `permissive` stands for `PERMISSIVE`.

    A file's own SPDX header decides before the licence files do. A file without either is dropped, unless `unknown`
    is allowed.
    """
    names = {name.lower() for item in allowed for name in (PERMISSIVE if item == "permissive" else (item,))}

    def licence_allowed(document: SourceDocument) -> str | None:
        header = _HEADER.search(document.text[:2000])
        expression = header[1].strip() if header else document.licence
        if not expression:
            return None if UNKNOWN in names else "no licence file"
        return None if _allows(expression, names) else f"licence {expression} is not allowed"

    return licence_allowed


def _allows(expression: str, names: set[str]) -> bool:
    """Judge an SPDX expression: one side of OR is enough, AND needs both; parentheses bind nothing tighter here."""
    flat = expression.replace("(", " ").replace(")", " ")
    if "(" in expression and " OR " in flat and " AND " in flat:  # mixed nesting is rare: ask for all of them
        return all(_allowed(name, names) for name in re.split(r"\s+(?:OR|AND)\s+", flat))
    return any(
        all(_allowed(name, names) for name in re.split(r"\s+AND\s+", choice)) for choice in re.split(r"\s+OR\s+", flat)
    )


def _allowed(name: str, names: set[str]) -> bool:
    """Compare one identifier; `-only`, `-or-later`, `+` and `WITH` an exception do not change the family."""
    family = re.split(r"\s+WITH\s+", name.strip().lower(), flags=re.IGNORECASE)[0].removesuffix("+")
    return family.removesuffix("-only").removesuffix("-or-later").strip() in names
