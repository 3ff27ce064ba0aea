import random

from repo_context.name_uses import NameUses


def test_counts_and_names_are_those_of_sets_of_names_whatever_came_and_went():
    chance = random.Random(3)
    words = [f"name{number}" for number in range(40)]
    uses, reference = NameUses(), {}
    for step in range(200):
        path = chance.choice("abcdefgh")
        if chance.random() < 0.3:
            uses.drop(path)
            reference.pop(path, None)
        else:
            reference[path] = set(chance.sample(words, chance.randrange(12)))
            uses.note(path, reference[path])
        if step % 7 == 0:
            name = chance.choice([*words, "unknown"])
            assert uses.files_using(name) == sum(name in used for used in reference.values())
            assert uses.files_using_each([name, *words]) == [uses.files_using(each) for each in (name, *words)]
            assert uses.used_in(path) == sorted(reference.get(path, ()))
            wanted = {chance.choice(words), "unknown"}
            expected = sorted(path for path, used in reference.items() if used & wanted)
            assert sorted(uses.paths_using(wanted)) == expected


def test_an_index_without_files_uses_nothing():
    uses = NameUses({"old": 0})
    assert (uses.files_using("old"), uses.paths_using(["old"]), uses.used_in("a")) == (0, [], [])
