import random

import pytest

from repo_context.dependency_order import order_files


def naive(files, depends_on):
    """The paper's pseudocode line by line, with ties by (in-degree, path) and groups by their smallest path."""
    graphs = {file: [] for file in files}
    in_degree = dict.fromkeys(files, 0)
    for file_a in files:
        for file_b in files:
            if file_a != file_b and file_b in depends_on.get(file_a, ()):
                graphs[file_b].append(file_a)
                in_degree[file_a] += 1
    all_results = []
    for subgraph in disconnected_subgraphs(graphs):
        results = []
        while len(results) != len(subgraph):
            file = min((f for f in subgraph if f not in results), key=lambda f: (in_degree[f], f))
            for node in graphs[file]:
                in_degree[node] -= 1
            results.append(file)
        all_results.append(results)
    return all_results


def disconnected_subgraphs(graphs):
    neighbours = {file: set(others) for file, others in graphs.items()}
    for file, others in graphs.items():
        for other in others:
            neighbours[other].add(file)
    left = sorted(graphs)
    while left:
        seen, pending = set(), [left[0]]
        while pending:
            file = pending.pop()
            if file not in seen:
                seen.add(file)
                pending.extend(neighbours[file])
        yield sorted(seen)
        left = [file for file in left if file not in seen]


def random_graph(seed):
    rng = random.Random(seed)
    files = [f"f{number:02}.py" for number in range(rng.randint(0, 30))]
    rng.shuffle(files)
    edges = rng.randint(0, 2 * len(files))
    depends_on = {}
    for _ in range(edges if files else 0):
        depends_on.setdefault(rng.choice(files), []).append(rng.choice(files))
    return files, depends_on


@pytest.mark.parametrize("seed", range(300))
def test_the_heap_gives_the_order_of_the_pseudocode(seed):
    files, depends_on = random_graph(seed)
    assert order_files(files, depends_on) == naive(files, depends_on)


@pytest.mark.parametrize(
    ("files", "depends_on", "expected"),
    [
        ([], {}, []),
        (["a", "b", "c"], {"a": ["b"], "b": ["c"]}, [["c", "b", "a"]]),
        (["b", "a"], {"a": ["b"], "b": ["a"]}, [["a", "b"]]),
        (["a"], {"a": ["a"]}, [["a"]]),
        (["b", "a"], {}, [["a"], ["b"]]),
        (["a", "b"], {"a": ["b", "b"]}, [["b", "a"]]),
        (["a", "b"], {"a": ["nowhere"], "elsewhere": ["a"]}, [["a"], ["b"]]),
        (["d", "c", "b", "a"], {"a": ["b", "c"], "b": ["d"], "c": ["d"]}, [["d", "b", "c", "a"]]),
        (["z", "x", "y"], {"z": ["x", "y"], "x": ["y"], "y": ["z"]}, [["x", "y", "z"]]),
    ],
    ids=["empty", "chain", "two-cycle", "self", "apart", "twice", "unknown", "diamond", "cycle"],
)
def test_dependencies_come_first_and_every_file_once(files, depends_on, expected):
    assert order_files(files, depends_on) == expected


def test_the_order_of_the_input_does_not_matter():
    files, depends_on = random_graph(7)
    assert order_files(sorted(files), depends_on) == order_files(sorted(files, reverse=True), depends_on)


def test_ten_thousand_files_are_all_ordered():
    rng = random.Random(1)
    files = [f"f{number:05}" for number in range(10_000)]
    depends_on = {file: rng.choices(files, k=6) for file in files}
    assert sorted(file for group in order_files(files, depends_on) for file in group) == files
