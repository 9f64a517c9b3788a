"""Pools of processes of this machine, each with one thread."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager

# One thread and no accelerator for each worker: results do not depend on the number of workers.
_ENVIRONMENT = {
    "JAX_PLATFORMS": "cpu",
    "NPROC": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    # Compilations of a third of a second are worth caching.
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
}


@contextmanager
def worker_pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """Yield a pool of single-threaded processes that end with their parent process.

    They also end where the block is left by an exception, whatever they are computing.
    """
    context = multiprocessing.get_context("spawn")
    before = multiprocessing.active_children()
    with _environment(_ENVIRONMENT):
        pool = ProcessPoolExecutor(workers, context, initializer=_follow_parent)
        pool.submit(os.getpid)  # a process starts while the work is prepared
        try:
            yield pool
        except BaseException:
            for process in multiprocessing.active_children():
                if process not in before:
                    process.terminate()
            raise
        finally:
            pool.shutdown(cancel_futures=True)


def _follow_parent() -> None:
    """Exit with the parent process, even if it is killed; the parent alone handles Ctrl-C."""
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
