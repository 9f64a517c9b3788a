"""Errors of checkpoints: how failures are detected and described."""

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import shorten

import jax

from cmed_jax.io.integrity import Damaged
from cmed_jax.io.run import CHECKPOINTS


class SaveFailed(OSError):
    """A checkpoint cannot be written."""


def _finished(folder: Path) -> list[int]:
    """Return the steps of the finished checkpoints."""
    return sorted(int(path.name) for path in folder.glob("*") if path.name.isdigit())


def last_finished(folder: Path) -> str:
    """Return a phrase that names the latest finished checkpoint of a folder."""
    steps = _finished(folder)
    return f"the last good checkpoint is {folder / str(steps[-1])}" if steps else "none was saved"


@contextmanager
def others_named(checkpoint: Path) -> Iterator[None]:
    """Add the names of the run's other checkpoints to an error about a damaged one."""
    try:
        yield
    except Damaged as fault:
        steps = _finished(checkpoint.parent) if checkpoint.parent.name == CHECKPOINTS else []
        others = [str(checkpoint.with_name(str(step))) for step in steps]
        others = [path for path in others if path != str(checkpoint)]
        advice = f"give another one: {' or '.join(others)}" if others else "there is no other one"
        raise Damaged(f"{fault}; {advice}") from fault


@contextmanager
def save_failures_named(folder: Path) -> Iterator[None]:
    """Turn any exception of Orbax into an error that a checkpoint cannot be written."""
    try:
        yield
    except jax.errors.JaxRuntimeError:  # not caused by the disk
        raise
    except Exception as error:
        raise SaveFailed(
            f"cannot write a checkpoint in {folder} ({reason(error)}): "
            "see to it and start the same command again"
        ) from error


def reason(error: BaseException) -> str:
    """Return the first cause of an error, in the operating system's words where there is a code."""
    while cause := error.__cause__:
        error = cause
    number = re.search(r"os_error_code='(\d+)'", str(error))
    return os.strerror(int(number[1])) if number else shorten(str(error), 100)


def warn(sentence: str) -> None:
    """Print a warning on stderr."""
    print(f"warning: {sentence}", file=sys.stderr, flush=True)
