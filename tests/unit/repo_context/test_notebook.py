import json

import pytest

from repo_context import notebook


def written(*cells, **metadata):
    return json.dumps(
        {"cells": [{"cell_type": kind, "source": source} for kind, source in cells], "metadata": metadata}
    )


@pytest.mark.parametrize(
    ("cells", "code"),
    [
        ([("code", "a = 1\nb = 2")], "# %%\na = 1\nb = 2\n"),
        ([("code", ["a = 1\n", "b = 2\n"]), ("markdown", "# text"), ("code", "c")], "# %%\na = 1\nb = 2\n\n# %%\nc\n"),
        ([("code", "%load_ext x\n  !ls\nd = a % b")], "# %%\n# %load_ext x\n#   !ls\nd = a % b\n"),
        ([("code", "%%bash\nls\nrm")], "# %%\n# %%bash\n# ls\n# rm\n"),
        ([("code", "%%time\nf()")], "# %%\n# %%time\nf()\n"),
        ([("code", "a\r\nb")], "# %%\na\nb\n"),
        ([("code", ""), ("raw", "x"), ("code", 3), ("code", [1, "y"])], "# %%\ny\n"),
        ([], ""),
    ],
)
def test_only_the_code_of_cells_is_kept_line_by_line(cells, code):
    assert notebook.code_of(written(*cells)) == code


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"cells": 3}', "[" * 100_000, "import os\n"])
def test_what_is_no_notebook_has_no_code(text):
    assert notebook.code_of(text) is None


def test_cells_of_the_old_format_are_read():
    old = {"worksheets": [{"cells": [{"cell_type": "code", "input": ["x = 1\n", "y = 2"]}]}], "nbformat": 3}
    assert notebook.code_of(json.dumps(old)) == "# %%\nx = 1\ny = 2\n"


def test_cells_that_are_not_tables_are_passed_over():
    assert notebook.code_of('{"cells": [1, null, {"cell_type": "code", "source": "x"}]}') == "# %%\nx\n"
