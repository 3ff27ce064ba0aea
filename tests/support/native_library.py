"""The compiled code of the index, for tests: the rest of them run without it."""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from engine.compiled_code import KernelError, build
from repo_context import native_library


@contextmanager
def compiled(home: Path) -> Iterator[ctypes.CDLL]:
    """Compile it below `home`, and use it in this process meanwhile; skips the test where that cannot be."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MIDFILL_KERNELS", "native")
        patch.setenv("MIDFILL_HOME", str(home))
        try:
            build(native_library.recipe())
        except KernelError as error:
            pytest.skip(str(error))
        native_library.library.cache_clear()
        library = native_library.library()
        assert library is not None
        yield library
    native_library.library.cache_clear()
