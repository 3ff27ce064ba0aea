"""How long ordering files by their dependencies takes, on a random graph with cycles.

    python -m benchmarks.dependency_order [--files 10000] [--edges 60000] [--rounds 5]

Prints the processor time of `order_files` (DeepSeek-Coder, Algorithm 1); its tests compare the order with the paper's
pseudocode.
"""

import argparse
import random
import statistics
import time

from repo_context.dependency_order import order_files


def main() -> None:
    """Order a graph several times and print the times."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--edges", type=int, default=60_000)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    random_numbers = random.Random(1)
    files = [f"pkg{number % 97}/file{number}.py" for number in range(arguments.files)]
    depends_on: dict[str, list[str]] = {path: [] for path in files}
    for _ in range(arguments.edges):
        source, target = random_numbers.sample(files, 2)
        depends_on[source].append(target)
    seconds = []
    for _ in range(arguments.rounds):
        began = time.process_time()
        order_files(files, depends_on)
        seconds.append(time.process_time() - began)
    print(f"{arguments.files} files, {arguments.edges} edges: CPU p50 {statistics.median(seconds):.3f} s")


if __name__ == "__main__":
    main()
