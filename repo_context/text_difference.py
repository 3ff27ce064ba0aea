"""What two texts begin and end with in common: between two keystrokes that is nearly everything."""


def shared_start(first: str, second: str) -> int:
    """Return how many characters two texts begin with in common, by halving: comparing is faster than looking."""
    low, high = 0, min(len(first), len(second))
    while low < high:
        middle = (low + high + 1) // 2
        if first[low:middle] == second[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def shared_end(first: str, second: str, most: int) -> int:
    """Return how many characters, `most` at most, two texts end with in common."""
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        if first[len(first) - middle : len(first) - low] == second[len(second) - middle : len(second) - low]:
            low = middle
        else:
            high = middle - 1
    return low
