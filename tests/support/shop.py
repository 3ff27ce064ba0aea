"""A small repository for whole training runs: eight files of functions about a shop, alike on purpose."""

from pathlib import Path

from tests.support.files import write_files

_WORDS = ("price", "stock", "order", "client", "basket", "shelf", "parcel", "receipt")


def write_shop(folder: Path) -> Path:
    """Write functions whose docstrings hold an example that is true; return `folder`."""
    files = {}
    for factor, word in enumerate(_WORDS):
        functions = (_function(f"{word}_{other}", word, other, factor, step) for step, other in enumerate(_WORDS))
        files[f"{word}.py"] = "".join(functions)
    return write_files(folder, files)


def _function(name: str, word: str, other: str, factor: int, step: int) -> str:
    return (
        f'def {name}(value):\n    """Return the {word} that belongs to one {other}.\n\n'
        f'    >>> {name}(2)\n    {2 * factor + step}\n    """\n'
        f"    total = value * {factor}\n    return total + {step}\n\n\n"
    )
