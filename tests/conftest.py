"""What holds for every test."""

import os

from hypothesis import settings

# Each engine process of a test has a new home, and would compile the kernels again; tests of the kernels ask for them.
os.environ.setdefault("MIDFILL_KERNELS", "off")

# A machine may be busy: no test fails because one example took long.
settings.register_profile("midfill", deadline=None)
settings.load_profile("midfill")
