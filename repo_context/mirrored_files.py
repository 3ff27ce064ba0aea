"""Which file tests which, by their names: `test_cart.py` and `cart.py`, `cart.test.ts`, `CartTest.java`."""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

MAX_MIRRORS = 2
"""How many files of one name may mirror another."""

_TEST_NAME = re.compile(
    r"^(?:test_(?P<a>.+)|(?P<b>.+?)[._-](?:test|tests|spec|unittest)|(?P<c>.+?)(?:Test|Tests|TestCase|Spec|IT)"
    r"|Test(?P<d>[A-Z].*))$"
)
_TEST_FORMS = (
    "test_{}", "{}_test", "{}_tests", "{}_spec", "{}_unittest", "{}.test", "{}.spec", "{}-test", "{}-spec",
    "{}Test", "{}Tests", "{}TestCase", "{}Spec", "{}IT", "Test{}",
)  # fmt: skip
_ENDINGS: Mapping[str, Sequence[str]] = {
    ending: group
    for group in (
        (".ts", ".tsx", ".js", ".jsx", ".mjs", ".cjs", ".mts", ".cts"),
        (".java", ".kt", ".scala", ".groovy"),
        (".c", ".cc", ".cpp", ".cxx", ".h", ".hpp"),
    )
    for ending in group
}
"""File ending → endings that a mirrored file may have instead, where there are several."""


@lru_cache(maxsize=65_536)
def is_test_file(path: str) -> bool:
    """Say whether a file's name says that it is a test.

    >>> is_test_file("tests/test_cart.py"), is_test_file("src/CartTest.java"), is_test_file("src/latest.py")
    (True, True, False)
    """
    return _tested(_split(path)[1]) != ""


def mirrors_of(path: str, by_name: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the files that a file tests, or that test it, the nearest first.

    `by_name`: file name → paths of all files that have it.

    >>> mirrors_of("tests/test_cart.py", {"cart.py": ["old/cart.py", "shop/cart.py", "tests/cart.py"]})
    ['tests/cart.py', 'old/cart.py']
    """
    _, stem, ending = _split(path)
    tested = _tested(stem)
    stems = [tested] if tested else [form.format(stem) for form in _TEST_FORMS]
    endings = [ending, *(other for other in _ENDINGS.get(ending, ()) if other != ending)]
    found = [other for stem in stems for ending in endings for other in by_name.get(stem + ending, ()) if other != path]
    return sorted(found, key=lambda other: (-_shared_folders(path, other), other))[:MAX_MIRRORS]


def _split(path: str) -> tuple[str, str, str]:
    folder, _, name = path.rpartition("/")
    stem, dot, ending = name.rpartition(".")
    return folder, stem, dot + ending


def _tested(stem: str) -> str:
    """Return the name of what a test of this name tests, empty when it is no test's name."""
    match = _TEST_NAME.match(stem)
    return next((group for group in match.groups() if group), "") if match else ""


def _shared_folders(one: str, other: str) -> int:
    """Count the folders that two paths share, from either end: `src/main/shop` and `src/test/shop` share two."""
    left, right = one.split("/")[:-1], other.split("/")[:-1]
    return len(set(left) & set(right))
