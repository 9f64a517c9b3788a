"""Records made by several processes, each with one thread, in the order of the materials."""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from cmed_jax.crystal.material import Material, Refusal
from cmed_jax.crystal.sources import Source
from cmed_jax.data.records import Recipe, make_record

CHUNK = 8
"""Materials handed to a worker at once."""
AHEAD = 64
"""Chunks under way at once: enough for as many workers, and a bound on the memory."""

# One thread and no accelerator for each worker: results do not depend on how many there are.
_ENVIRONMENT = {
    "JAX_PLATFORMS": "cpu",
    "NPROC": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
}

Result = dict[str, Any] | Refusal


@contextmanager
def worker_pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """Give a pool of single-threaded processes that end with the one that started them."""
    context = multiprocessing.get_context("spawn")
    with _environment(_ENVIRONMENT):
        pool = ProcessPoolExecutor(workers, context, initializer=_follow_parent)
        try:
            yield pool
        finally:
            pool.shutdown(cancel_futures=True)


def records(
    materials: Sequence[Material], source: Source, recipe: Recipe, pool: ProcessPoolExecutor
) -> Iterator[Result]:
    """Yield the record of each material, or its refusal, in the order of the materials.

    Args:
        materials: structures as the source gives them.
        source: is asked for the densities if the recipe needs them.
        recipe: how to make a record.
        pool: of `worker_pool`.
    """
    pending: deque[Future[list[Result]]] = deque()
    for start in range(0, len(materials), CHUNK):
        if len(pending) == AHEAD:
            yield from pending.popleft().result()
        pending.append(pool.submit(_records, materials[start : start + CHUNK], source, recipe))
    while pending:
        yield from pending.popleft().result()


def _records(materials: Sequence[Material], source: Source, recipe: Recipe) -> list[Result]:
    return [_record(material, source, recipe) for material in materials]


def _record(material: Material, source: Source, recipe: Recipe) -> Result:
    try:
        if recipe.density == "chgcar":
            material = replace(material, density=source.density(material.material_id))
        return make_record(material, recipe)
    except ValueError as error:
        return Refusal(material.material_id, str(error))


def _follow_parent() -> None:
    """End with the parent, even if it was killed, and leave Ctrl-C to it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_exit_after_parent, daemon=True).start()


def _exit_after_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
