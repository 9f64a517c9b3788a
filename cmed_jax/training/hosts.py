"""Several processes of one run: how they connect, agree, and end when one is lost.

Each process runs the same command on its own devices and takes its share of every batch. Only
process 0 writes the log and the configuration. All take part in writing checkpoints, so the run's
folder has to be visible to all of them.
"""

import atexit
import contextlib
import hashlib
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from textwrap import shorten
from typing import Any, NoReturn

import jax
import numpy as np
from jax.experimental import multihost_utils

from cmed_jax.config import HostsConfig, given_or_environment

LINGER = 1.0
"""The seconds that process 0 waits before it ends, so that others can print their errors.

JAX ends the other processes together with process 0.
"""
SENTENCE = 2000
"""The largest size of a message to the other processes, bytes."""
_LOST = re.compile("Gloo|NCCL|UNAVAILABLE|DEADLINE_EXCEEDED|Connection")
"""The pattern of JAX's messages about a process that does not respond."""


@contextmanager
def joined(config: HostsConfig) -> Iterator[None]:
    """Connect the processes of a run, and print in process 0 alone; do nothing in a single process.

    JAX ends a process that cannot reach the others for `config.timeout` seconds. So no process
    hangs when another one is lost. A sentence after JAX's own report explains how to continue.
    """
    if not _is_one_of_several(config):
        yield
        return
    with _sentence_at_a_sudden_end():
        jax.distributed.initialize(
            config.coordinator,
            given_or_environment("processes", config.processes),
            given_or_environment("process", config.process),
            initialization_timeout=config.patience,
            heartbeat_timeout_seconds=config.timeout,
            shutdown_timeout_seconds=config.timeout,
        )
        with contextlib.ExitStack() as muted:
            if not is_primary():
                nowhere = muted.enter_context(open(os.devnull, "w"))  # noqa: PTH123
                muted.enter_context(contextlib.redirect_stdout(nowhere))
            try:
                yield
            except BaseException as error:
                atexit.register(leave, 1)  # for errors that are not turned into an exit code
                # JAX raises a ValueError where an array is fetched that another process computed.
                failed = isinstance(error, jax.errors.JaxRuntimeError | ValueError)
                if failed and _LOST.search(str(error)):
                    raise _gone(error) from error
                raise
        jax.distributed.shutdown()  # waits for all processes


def leave(code: int) -> NoReturn:
    """End this process with a code.

    After an error in a run of several processes it skips the shutdown of JAX and Orbax, which would
    wait for the others while they wait for this process.
    """
    if jax.distributed.is_initialized():
        sys.stdout.flush()
        sys.stderr.flush()
        if is_primary():
            time.sleep(LINGER)
        os._exit(code)
    sys.exit(code)


def is_primary() -> bool:
    """Return whether this process is the first, which writes the shared files."""
    return jax.process_index() == 0


class Elsewhere(ValueError):
    """Another process of the run cannot go on."""


@contextmanager
def raise_together() -> Iterator[None]:
    """Turn a ValueError or OSError of one process into an error of all, so that none waits.

    Raises:
        Elsewhere: in the other processes.
    """
    fault: ValueError | OSError | None = None
    try:
        yield
    except (ValueError, OSError) as error:
        fault = error
    said = allgather_text(str(fault or ""))
    if fault:
        raise fault
    for process, sentence in enumerate(said):
        if sentence:
            raise Elsewhere(f"process {process} of {len(said)} cannot go on: {sentence}")


def allgather_text(sentence: str) -> list[str]:
    """Return the texts of all processes; each of them has to call this function."""
    if jax.process_count() == 1:
        return [sentence]
    words = np.zeros(SENTENCE, np.uint8)
    spoken = sentence.encode()[:SENTENCE]
    words[: len(spoken)] = np.frombuffer(spoken, np.uint8)
    gathered = multihost_utils.process_allgather(words)
    return [row.tobytes().rstrip(b"\0").decode(errors="ignore") for row in gathered]


def broadcast_from_primary(values: dict[str, Any]) -> dict[str, Any]:
    """Return the JSON values of process 0; all processes have to call this function."""
    return json.loads(allgather_text(json.dumps(values))[0])


def check_alike(begun_with: dict[str, Any]) -> None:
    """Raise ValueError where processes were started with different JSON values."""
    digest = hashlib.sha256(json.dumps(begun_with, sort_keys=True).encode()).hexdigest()
    said = allgather_text(digest)
    if different := [str(process) for process, one in enumerate(said) if one != said[0]]:
        raise ValueError(
            f"process {', '.join(different)} of {len(said)} has other options, another dataset or, "
            "for --input auto, another memory than process 0: start all with the same"
        )


def _is_one_of_several(config: HostsConfig) -> bool:
    """Return whether the options or the environment describe several processes."""
    explicit = config.coordinator or "JAX_COORDINATOR_ADDRESS" in os.environ
    # JAX would treat a single task in a larger allocation as one of many, and wait for the others.
    tasks = [os.environ.get(name, "1") for name in ("SLURM_STEP_NUM_TASKS", "OMPI_COMM_WORLD_SIZE")]
    tpu = "TPU_ML_PLATFORM" in os.environ  # set by JAX on all TPU machines, one or many
    return bool(explicit) or tasks != ["1", "1"] or tpu


def _gone(error: BaseException) -> ConnectionError:
    return ConnectionError(
        f"another process of the run is gone, or out of reach ({shorten(str(error), 100)}): start "
        "all of them again, and the run continues from its last checkpoint"
    )


@contextmanager
def _sentence_at_a_sudden_end() -> Iterator[None]:
    """Print a sentence if this process is ended by JAX, which aborts it, or by a kill.

    An ended process cannot print. A shell prints the sentence instead, when the pipe to it closes.
    """
    sentence = (
        f"error: the process of the run on {socket.gethostname()} was ended before the run: it was "
        "killed, or another one is gone (its own output, or JAX's above, says why); start all of "
        "them again, and the run continues from its last checkpoint"
    )
    shell = subprocess.Popen(
        ["sh", "-c", 'read -r done || printf "%s\\n" "$1" >&2', "sh", sentence],
        stdin=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C does not reach it
    )
    try:
        yield
    finally:  # an error prints its own message
        shell.communicate(b"done\n")
