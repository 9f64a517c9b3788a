"""Former name of `python -m cmed_jax.train_gate`, kept for one release."""

from cmed_jax.cli import run_command
from cmed_jax.train_gate import main

if __name__ == "__main__":
    run_command(main)
