"""Scoring spread over processes: each prepares the evaluation once, and scores whole batches.

Batches and queries are those of a single process, and generators are pure functions of their
queries. The order of results does not depend on the number of processes; a figure may differ by the
rounding of float32, since each process has one thread.
"""

from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor
from contextlib import contextmanager
from functools import cache, partial
from typing import Any, NamedTuple, Protocol, runtime_checkable

from cmed_jax.data.query import Control, Deviating, Generator, full_query
from cmed_jax.evaluation.scoring import Batch
from cmed_jax.io.processes import worker_pool


class Entrant(NamedTuple):
    """A generator with the control of its queries, and its number of candidates."""

    generator: Generator | Deviating
    control: Control = full_query
    candidates: int = 1


@runtime_checkable
class Evaluation(Protocol):
    """Everything that is scored, by name, as one process prepares it."""

    def score_batch(self, name: str, batch: Batch) -> Any:
        """Return the result of `cmed_jax.evaluation.scoring.score_batch` for an entrant."""
        ...


Prepare = Callable[[Any], Evaluation]
"""A function of a module that prepares an evaluation from its options, which are hashable."""


class Spread:
    """Scores the batches of one evaluation in other processes."""

    def __init__(self, pool: Executor, prepare: Prepare, options: Hashable):
        """Name the processes and the evaluation.

        Args:
            pool: the processes.
            prepare: prepares the evaluation in each process when it gets its first batch.
            options: the argument of `prepare`.
        """
        self._pool, self._prepare, self._options = pool, prepare, options

    def score(self, name: str, batches: Sequence[Batch]) -> Iterator[Any]:
        """Yield the result of each batch of an entrant, in the order of the batches.

        Raises:
            ValueError: as `cmed_jax.evaluation.scoring.evaluate`.
        """
        return self._pool.map(partial(_score, self._prepare, self._options, name), batches)


@contextmanager
def spread_over(workers: int, prepare: Prepare, options: Hashable) -> Iterator[Spread | None]:
    """Yield the means to score in some processes, or None for one, which is this one.

    Raises:
        ValueError: there is not at least one worker.
        OSError: a process died.
    """
    if workers < 1:
        raise ValueError(f"workers is {workers}: give at least 1")
    if workers == 1:
        yield None
        return
    try:
        with worker_pool(workers) as pool:
            yield Spread(pool, prepare, options)
    except BrokenExecutor as error:
        raise OSError("a worker died, of memory perhaps: start again with fewer") from error


@cache
def _prepared(prepare: Prepare, options: Hashable) -> Evaluation:
    return prepare(options)


def _score(prepare: Prepare, options: Hashable, name: str, batch: Batch) -> Any:
    return _prepared(prepare, options).score_batch(name, batch)
