import json

import pytest

from repo_context import notebook
from repo_context.repository import Repository
from repo_context.snippet import Cursor


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


def test_a_notebook_is_indexed_by_its_code_alone_and_snippets_keep_its_lines(tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    secret_output = {"cell_type": "code", "source": "tree = Tree()", "outputs": [{"text": "zzyzx"}]}
    cells = [
        secret_output,
        {"cell_type": "code", "source": "def measure_growth(tree, litres):\n    return tree.grow(litres)"},
    ]
    (root / "study.ipynb").write_text(json.dumps({"cells": cells, "metadata": {"padding": "y" * 2_000_000}}))
    (root / "tree.py").write_text("class Tree:\n    pass\n")
    with Repository.open(root, index_folder=tmp_path / "index") as repository:
        assert {file.path: file.language for file in repository.files()} == {
            "study.ipynb": "jupyter",
            "tree.py": "python",
        }
        assert [item.name for item in repository.definitions_in("study.ipynb")] == ["tree", "measure_growth"]
        cursor = Cursor(path="use.py", prefix="def f(tree, litres):\n    return measure_growth(", suffix=")\n")
        found = repository.snippets_for(cursor, budget=500, count_tokens=len)
        text = "\n".join(snippet.text for snippet in found)
        assert "def measure_growth(tree, litres):" in text
        assert "cell_type" not in text
        repository.update("study.ipynb", "not a notebook")
        assert [file.path for file in repository.files()] == ["tree.py"]


def test_a_notebook_that_cannot_be_read_is_reported(tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    (root / "broken.ipynb").write_text("{")
    with Repository.open(root, index_folder=tmp_path / "index") as repository:
        assert repository.summary().skipped == {"notebook that cannot be read": 1}
