"""Locks that are released when the process that holds them ends, however it ends."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout


@contextmanager
def held(path: Path, busy: str) -> Iterator[None]:
    """Hold a lock.

    Args:
        path: the file of the lock, in a folder that exists.
        busy: the error message where another process holds it.

    Raises:
        ValueError: another process holds it.
    """
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise ValueError(busy) from None
    try:
        yield
    finally:
        lock.release()
