"""Settings of the whole suite: a fixed number of CPU devices, no stray files."""

import os

# Before jax is imported: the all-reduce of several CPU devices needs more threads than cores.
os.environ.setdefault("NPROC", "16")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
