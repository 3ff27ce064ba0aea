from dataclasses import dataclass

from engine.turns import Turns


@dataclass(eq=False)
class Request:
    name: str
    has_started: bool = False
    has_shown: bool = False


def take_turns(turns, count):
    """Take that many turns; a request shows something from its second turn on."""
    names = []
    for _ in range(count):
        work = turns.take()
        names.append(work.name)
        work.has_shown = work.has_started
        work.has_started = True
        turns.put_back(work)
    return "".join(names)


def test_a_new_request_waits_for_the_step_under_way_only():
    turns = Turns(at_once=8)
    for name in "ab":
        turns.add(Request(name, has_started=True, has_shown=True))
    busy = turns.take()
    turns.add(Request("n"))
    turns.put_back(busy)
    assert take_turns(turns, 2) == "nn"


def test_requests_that_have_shown_something_go_round():
    turns = Turns(at_once=8)
    for name in "abc":
        turns.add(Request(name, has_started=True, has_shown=True))
    assert take_turns(turns, 6) == "abcabc"


def test_only_so_many_are_under_way_at_once():
    turns = Turns(at_once=2)
    for name in "abc":
        turns.add(Request(name))
    assert set(take_turns(turns, 9)) == {"a", "b"}
    turns.take()
    turns.drop()
    assert "c" in take_turns(turns, 3)


def test_what_has_not_started_can_be_taken_out_at_once():
    turns = Turns(at_once=1)
    first, second = Request("a"), Request("b")
    turns.add(first)
    turns.add(second)
    take_turns(turns, 1)
    assert not turns.remove_unstarted(first)
    assert turns.remove_unstarted(second)
    assert turns.all() == [first]
