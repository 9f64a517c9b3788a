"""A cache of compiled programs in the run's folder, which saves compilation after a restart."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import jax
from jax.experimental.compilation_cache import compilation_cache

FOLDER = "compiled"
WORTH_KEEPING = 0.1
"""The least compilation time of a program that is kept, seconds."""


@contextmanager
def programs_kept(run: Path) -> Iterator[None]:
    """Keep compiled programs in a run's folder, or where JAX_COMPILATION_CACHE_DIR names one."""
    if jax.config.values["jax_compilation_cache_dir"]:
        yield
        return
    before = jax.config.values["jax_persistent_cache_min_compile_time_secs"]
    _keep(str(run / FOLDER), WORTH_KEEPING)
    try:
        yield
    finally:
        _keep(None, before)


def _keep(folder: str | None, seconds: float) -> None:
    jax.config.update("jax_compilation_cache_dir", folder)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", seconds)
    compilation_cache.reset_cache()  # JAX decides at its first compilation whether to use a cache
