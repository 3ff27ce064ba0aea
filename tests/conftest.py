"""What holds for every test."""

import os

# Each engine process of a test has a new home, and would compile the kernels again; tests of the kernels ask for them.
os.environ.setdefault("MIDFILL_KERNELS", "off")
