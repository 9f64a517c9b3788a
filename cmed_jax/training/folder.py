"""A run's folder: its lock, and the configuration that the run was started with."""

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from secrets import token_hex
from tempfile import TemporaryDirectory
from typing import Any

from cmed_jax.data.dataset import differences
from cmed_jax.io.atomic import write_text
from cmed_jax.io.lock import held
from cmed_jax.io.run import CONFIG
from cmed_jax.training.hosts import broadcast_from_primary, is_primary, raise_together

LOCK = ".lock"
HOLDER = ".holder"
"""A file with a word of the process that holds the lock, by which others see the same folder."""


@contextmanager
def locked(folder: Path, identity: Mapping[str, Any] | None = None) -> Iterator[None]:
    """Create the folder and lock it for this run.

    The first process of the run holds the lock, which is released however the process ends. A
    folder of another run stays as it is.

    Args:
        folder: the run's folder.
        identity: the options and the dataset that a run in the folder must have; None for any.

    Raises:
        ValueError: another process holds the folder, the run in it was started with a different
            identity, or not all processes of this run see it.
    """
    word = broadcast_from_primary({"word": token_hex()})["word"]
    with ExitStack() as held:
        with raise_together():
            if is_primary():
                held.enter_context(_lock(folder, word, identity))
        with raise_together():
            _check_shared(folder, word)
        yield


@contextmanager
def _lock(folder: Path, word: str, identity: Mapping[str, Any] | None) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    busy = f"another process is training in {folder}: wait for it or choose another folder"
    with held(folder / LOCK, busy):
        if identity is not None:
            check_identity(folder, identity)
        write_text(folder / HOLDER, word)
        yield


def _check_shared(folder: Path, word: str) -> None:
    holder = folder / HOLDER
    if not holder.exists() or holder.read_text() != word:
        raise ValueError(
            f"{folder} is not the folder that process 0 sees: give one on a disk that all share"
        )


@contextmanager
def written_once(folder: Path) -> Iterator[Path]:
    """Yield the folder in the first process of the run, and a temporary one in the others."""
    if is_primary():
        yield folder
        return
    with TemporaryDirectory() as aside:
        yield Path(aside)


def keep_identity(folder: Path, config: Mapping[str, Any], identity: Mapping[str, Any]) -> None:
    """Write the configuration of a run that begins; that of the start is kept.

    Args:
        folder: the run's folder.
        config: the whole configuration.
        identity: the options and the dataset that must not change for the run to continue.
    """
    path = folder / CONFIG
    if not path.exists():
        text = json.dumps({"config": config, "identity": identity}, indent=2)
        write_text(path, text + "\n")


def check_identity(folder: Path, identity: Mapping[str, Any]) -> None:
    """Check that the run in a folder, if there is one, was started with the same identity.

    Raises:
        ValueError: it was started with a different one; the error names the difference.
    """
    path = folder / CONFIG
    if not path.exists():
        return
    try:
        begun = _flat(json.loads(path.read_text())["identity"])
    except (ValueError, KeyError) as error:
        raise ValueError(
            f"{path} is damaged ({error!r}): remove it and start with the same options to continue"
        ) from error
    different = differences(begun, _flat(json.loads(json.dumps(identity))))
    if different:
        raise ValueError(
            f"{folder} holds a run that was begun differently: {different}. "
            "Start with the same options to continue it, or choose another folder"
        )


def _flat(tree: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(tree, dict):
        return {prefix: tree}
    parts = [_flat(value, f"{prefix}.{name}" if prefix else name) for name, value in tree.items()]
    return {name: value for part in parts for name, value in part.items()}
