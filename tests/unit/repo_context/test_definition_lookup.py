import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repo_context import name_meaning
from repo_context.repository import Repository
from repo_context.snippet import Cursor
from tests.support.files import write_files

BASES = {
    "shop/base.py": "class Base:\n    def audit(self, by: str) -> None:\n        self.by = by\n\n"
    "    def owner(self) -> 'Owner':\n        return self.o\n\n\n"
    "class Owner:\n    def greet(self, name, times):\n        for _ in range(times):\n            print(name)\n\n"
    "    def leave(self):\n        return 1\n",
    "shop/cart.py": "from shop.base import Base\n\n\nclass Cart(Base):\n    def total(self):\n        x = 1\n"
    "        y = 2\n        z = 3\n        return x + y + z\n",
}
SCRIPT = {
    "src/types.ts": "export interface Options {\n  depth: number;\n  title: string;\n}\n"
    "export type Props = Readonly<{\n  label: string;\n  onPick(x: number): void;\n}>;\n"
    "export interface Base {\n  id: number;\n}\n",
    "src/tree.tsx": 'import { Options, Props, Base } from "./types";\n'
    "export function plant(options: Options, by?: number): void {}\n"
    "export const Button = (props: Props) => null;\n"
    "export function grow<T extends Base>(x: T): T {\n  return x;\n}\n"
    "function hiddenHelper(a: number) {\n  return a;\n}\n",
    "src/tree.test.ts": "export function planted(a: number) {\n  return a;\n}\n",
}
GO = {
    "go.mod": "module m\n",
    "job.go": "package m\n\ntype Job struct {\n\tName string\n}\n",
    "run.go": "package m\n\nfunc (j *Job) Run(times int) error {\n\treturn nil\n}\n",
}
RUST = {
    "src/lib.rs": "mod job;\nmod run;\n",
    "src/job.rs": "pub struct Job {\n    pub name: String,\n}\n",
    "src/run.rs": "use crate::job::Job;\n"
    "impl Job {\n    pub fn run(&self, times: u8) -> u8 {\n        times\n    }\n}\n",
}
CSHARP = {
    "Job.cs": "namespace M;\npublic partial class Job\n{\n    public string Name { get; set; }\n}\n",
    "Job.Run.cs": "namespace M;\npublic partial class Job\n{\n    public void Run(int times) { }\n}\n",
    "More.cs": "namespace M;\npublic static class More\n{\n"
    "    public static void Stop(this Job job, int after) { }\n}\n",
}
TESTED = {
    "shop/cart.py": "class Cart:\n    def total(self):\n        a = 1\n        b = 2\n        c = 3\n        return a\n"
}


@pytest.fixture
def ask(tmp_path):
    opened = []

    def ask(source, path, files):
        root = tmp_path / "root"
        write_files(root, files)
        repository = Repository.open(root, index_folder=tmp_path / "index")
        opened.append(repository)
        prefix, _, suffix = source.partition("‸")
        repository.update(path, prefix + suffix)
        cursor = Cursor(path=path, prefix=prefix, suffix=suffix)
        return repository.snippets_for(cursor, budget=2_000, count_tokens=len)

    yield ask
    for repository in opened:
        repository.close()


@pytest.mark.parametrize(
    ("files", "path", "source", "text"),
    [
        (BASES, "a.py", "from shop.cart import Cart\n\ndef f(cart: Cart):\n    cart.‸", "def audit(self, by: str)"),
        (BASES, "a.py", "from shop.cart import Cart\n\ndef f(cart: Cart):\n    cart.owner().‸", "def greet(self, name"),
        (
            BASES,
            "a.py",
            "from shop.cart import Cart\n\nclass A(Cart):\n    def f(self):\n        self.‸",
            "def audit(self",
        ),
        (SCRIPT, "src/a.ts", 'import { grow } from "./tree";\nconst x = grow(y);\nx.‸', "id: number"),
        (GO, "main.go", "package m\n\nfunc f(j *Job) {\n\tj.‸", "func (j *Job) Run(times int) error"),
        (
            RUST,
            "src/lib.rs",
            "use crate::job::Job;\nfn f(job: &Job) {\n    job.‸",
            "pub fn run(&self, times: u8) -> u8",
        ),
        (CSHARP, "A.cs", "namespace M;\nclass A {\n    void F(Job job) {\n        job.‸", "void Run(int times)"),
        (
            CSHARP,
            "A.cs",
            "namespace M;\nclass A {\n    void F(Job job) {\n        job.‸",
            "Stop(this Job job, int after)",
        ),
    ],
)
def test_a_receivers_members_are_found_in_bases_and_in_other_files(ask, files, path, source, text):
    found = ask(source, path, files)
    assert any(text in snippet.text for snippet in found if snippet.reason.startswith("receiver"))


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ('import { plant } from "./tree";\n\n\n\nplant({ ‸', "depth: number"),
        ('import { Button } from "./tree";\n\n\n\nconst b = <Button ‸', "label: string"),
        ('import { Options } from "./types";\n\nconst o: Options = { ‸', "title: string"),
    ],
)
def test_an_open_call_tag_or_literal_shows_what_it_takes(ask, source, text):
    found = ask(source, "src/a.tsx", SCRIPT)
    assert text in found[0].text


def test_names_that_a_module_does_not_export_and_those_of_tests_are_not_seen(ask):
    found = ask("const a = hiddenHelper(planted(grow(‸", "src/a.ts", SCRIPT)
    reasons = {snippet.reason for snippet in found}
    assert "definition of grow" in reasons
    assert reasons.isdisjoint({"definition of hiddenHelper", "definition of planted"})


def test_a_test_shows_what_it_tests(ask):
    found = ask("def test_total():\n    ‸", "tests/test_cart.py", TESTED)
    assert [(snippet.path, snippet.reason) for snippet in found] == [("shop/cart.py", "this file tests it")]


def test_a_bare_type_parameter_stands_for_nothing(ask):
    files = {"src/t.ts": "export class T {\n  secret = 1;\n}\n", "src/f.ts": "export function f<T>(x: T): T {}\n"}
    found = ask('import { f } from "./f";\nconst x = f(1);\nx.‸', "src/a.ts", files)
    assert not [snippet for snippet in found if snippet.reason.startswith("receiver")]


SIGNATURES = st.lists(
    st.sampled_from([*"<>[](),: &\n.", "T", "TB", "Plant", "a.Plant", " extends ", "super", "é"]), max_size=14
).map("".join)


@given(SIGNATURES, st.sampled_from(["T", "TB", "Plant", "a.Plant"]))
def test_the_bound_of_a_type_parameter_is_what_one_expression_for_its_name_finds(declared, name):
    bound = re.search(rf"\b{re.escape(name)}\s*(?:extends|super|:)\s*&?({name_meaning._TYPE_NAME.pattern})", declared)
    assert name_meaning._bound_in(declared, name) == (bound.group(1) if bound else "")
    listed = re.search(rf"[<\[,]\s*{re.escape(name)}\s*(?:extends|:)", declared)
    assert name_meaning._is_parameter(declared, name) == bool(listed)
