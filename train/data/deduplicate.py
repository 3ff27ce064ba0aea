"""Keeps one of each set of equal files."""

from collections import Counter
from collections.abc import Iterable, Iterator
from hashlib import blake2b

from train.data.document import SourceDocument


def drop_copies(documents: Iterable[SourceDocument], dropped: Counter[str]) -> Iterator[SourceDocument]:
    """Yield each text once; texts are equal when they differ in nothing but white space at line ends."""
    seen: set[bytes] = set()
    for document in documents:
        stripped = "\n".join(line.rstrip() for line in document.text.splitlines())
        key = blake2b(stripped.encode("utf-8", errors="surrogatepass"), digest_size=16).digest()
        if key in seen:
            dropped["copy of another file"] += 1
            continue
        seen.add(key)
        yield document
