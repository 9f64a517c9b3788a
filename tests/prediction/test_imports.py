"""Imports of a prediction: a released network needs no module for training."""

import os
import subprocess
import sys

from tests.processes import COMPILED_FAST

TRAINING_ONLY = ("grain", "orbax", "tensorflow_datasets", "array_record", "tensorboardX", "fcntl")
CODE = f"""
import sys
sys.modules |= dict.fromkeys({TRAINING_ONLY})  # importing one of them fails, as on a bare machine
import cmed_jax
found = cmed_jax.restore_and_predict(
    "cubic", ([27.4, 31.7, 45.5], [8.0, 100.0, 55.0]), "NaCl", wavelength="CuKa", analogues=0,
    grid=(6, 6, 6), cell="auto",
)
print(*found.density.shape, "matplotlib" in sys.modules)
"""


def test_a_released_network_predicts_where_nothing_can_train():
    """Windows has no fcntl, and the software of most diffractometers runs on Windows."""
    settings = os.environ | COMPILED_FAST
    done = subprocess.run(
        [sys.executable, "-c", CODE], env=settings, capture_output=True, text=True
    )
    assert done.stdout.split() == ["6", "6", "6", "False"], done.stderr
