from repo_context.name_uses import NameUses
from repo_context.symbol_index import SymbolIndex
from repo_context.syntax import Definition


def definition(name, *, kind="function", start=0, end=1, parent=""):
    return Definition(name, kind, start, end, name, parent)


def test_names_are_found_where_they_are_defined_and_used():
    uses = NameUses()
    index = SymbolIndex(uses)
    uses.note("b.py", ["print"])
    index.add("b.py", (definition("load"), definition("save", start=2, end=3)))
    index.add("a.py", (definition("load"),))
    assert [(found.path, found.definition.name) for found in index.definitions_of("load")] == [
        ("a.py", "load"),
        ("b.py", "load"),
    ]
    assert (len(index), index.files_defining("load"), index.files_using("print")) == (3, 2, 1)


def test_a_file_that_is_replaced_or_removed_leaves_nothing_behind():
    index = SymbolIndex()
    index.add("a.py", (definition("old"), definition("old")))
    index.add("a.py", (definition("new"),))
    assert index.definitions_of("old") == []
    index.remove("a.py")
    index.remove("a.py")
    assert (len(index), index.definitions_of("new")) == (0, [])


def test_members_are_those_inside_a_class_and_those_that_name_it():
    index = SymbolIndex()
    inside = definition("Tree", kind="class", start=0, end=5)
    outside = definition("Node", kind="class", start=6, end=7)
    index.add(
        "a",
        (
            inside,
            definition("grow", kind="method", start=1, end=2, parent="Tree"),
            outside,
            definition("left", kind="method", start=9, end=10, parent="Node"),
            definition("late", kind="method", start=11, end=12, parent="Tree"),
        ),
    )
    assert [member.name for member in index.members_of("a", inside)] == ["grow", "late"]
    assert [member.name for member in index.members_of("a", outside)] == ["left"]


def test_a_nested_class_of_the_same_name_keeps_its_members_to_itself():
    index = SymbolIndex()
    outer = definition("Builder", kind="class", start=0, end=3)
    nested = definition("Builder", kind="class", start=5, end=9, parent="Shape")
    members = (
        definition("one", kind="method", start=1, end=2, parent="Builder"),
        definition("two", kind="method", start=6, end=7, parent="Builder"),
    )
    index.add("a", (outer, members[0], nested, members[1]))
    assert [member.name for member in index.members_of("a", outer)] == ["one"]
    assert [member.name for member in index.members_of("a", nested)] == ["two"]


def test_members_that_a_file_adds_to_a_type_of_another_one_come_and_go_with_it():
    index = SymbolIndex()
    run = definition("Run", kind="method", parent="Job")
    index.add("job.go", (definition("Job", kind="class"),))
    index.add("run.go", (run,))
    assert (index.paths_adding_to("Job"), index.added_to("Job", "run.go")) == (["run.go"], [run])
    index.remove("run.go")
    assert index.paths_adding_to("Job") == []
