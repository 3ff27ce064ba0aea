"""What a real index says of names: which exist nowhere, and how a file imports one."""

import pytest

from lsp_server.symbol_questions import import_of, unknown_names
from repo_context.repository import Repository
from tests.support.files import write_files

FILES = {
    "pkg/__init__.py": "",
    "pkg/core.py": "def load(path):\n    return read_all(path)\n\n\nclass Store:\n    def close(self): ...\n",
    "pkg/sub/__init__.py": "",
    "pkg/sub/only.py": "def only_here():\n    return 1\n",
    "first.py": "from pkg.core import load\nfrom pkg.core import Store\n",
    "second.py": "from pkg.core import load\n",
    "third.py": "from other import load\n",
    "split_a.py": "from left import torn\n",
    "split_b.py": "from right import torn\n",
    "renamed.py": "import numpy\nfrom pkg.core import Store as Shop\n",
    "web/lib/format.ts": "export function format(x: string) {\n  return x;\n}\n",
    "web/lib/index.ts": "export function start() {}\n",
    "web/lib/near.ts": "import { format } from './format';\nformat('x');\n",
}


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    root = write_files(tmp_path_factory.mktemp("repository"), FILES)
    with Repository.open(root, index_folder=tmp_path_factory.mktemp("index")) as repository:
        yield repository


def test_a_name_is_unknown_where_no_file_defines_or_uses_it(repository):
    assert unknown_names(repository, ["load", "read_all", "Store", "nothing_like_it"]) == ["nothing_like_it"]


@pytest.mark.parametrize(
    ("path", "name", "module"),
    [
        pytest.param("new.py", "load", "pkg.core", id="as most other files do"),
        pytest.param("new.py", "torn", None, id="not where others do not agree"),
        pytest.param("new.py", "nothing_like_it", None, id="not what is nowhere"),
        pytest.param("new.py", "close", None, id="not a method"),
        pytest.param("pkg/new.py", "only_here", ".sub.only", id="from the one file that defines it"),
        pytest.param("web/app/new.ts", "format", "../lib/format", id="a relative path is rewritten"),
        pytest.param("web/app/new.ts", "start", "../lib", id="an index file goes by its folder"),
        pytest.param("web/app/new.ts", "load", None, id="not across languages"),
        pytest.param("new.go", "load", None, id="not in a language whose imports midfill does not write"),
    ],
)
def test_how_a_name_is_imported(repository, path, name, module):
    wanted = import_of(repository, path, name)
    assert (wanted.module if wanted else None) == module
    assert wanted is None or wanted.name == name


def test_a_name_that_is_imported_under_another_tells_which(repository):
    wanted = import_of(repository, "new.py", "Shop")
    assert (wanted.module, wanted.name) == ("pkg.core", "Store")
