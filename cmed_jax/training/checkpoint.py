"""Checkpoints of a run; the only module that uses Orbax.

A run's folder holds `checkpoints/STEP/` with two items, `model` (parameters and batch statistics)
and `optimizer`, and the run's configuration as metadata, so that one checkpoint is enough for a
prediction. The two latest checkpoints and the best on the validation materials are kept. If the
latest is damaged, the run continues from the one before. Each takes about 12 bytes for a parameter,
and one more is on the disk while it is written.
"""

import dataclasses
import json
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

from jaxtyping import PyTree
from orbax.checkpoint import v1 as ocp
from orbax.checkpoint.multihost import get_barrier_sync_fn

from cmed_jax.io.integrity import Damaged, checksum, set_aside
from cmed_jax.io.run import CHECKPOINTS
from cmed_jax.training.hosts import Elsewhere, allgather_text, is_primary, raise_together
from cmed_jax.training.integrity import (
    last_finished,
    others_named,
    reason,
    save_failures_named,
    warn,
)
from cmed_jax.training.step import TrainState

SCORE = "ssim"
"""The validation figure by which the best checkpoint is kept; larger is better."""
CENTURY = 100 * 365 * 86_400
"""The seconds that Orbax waits for a save, by the wall clock, which may jump."""
MOMENT = 0.1
"""The seconds between two checks by all processes whether a save is done."""


class Checkpoints:
    """The checkpoints of one run, written while training continues.

    An error that leaves the context gets a note that names the last good checkpoint.
    """

    def __init__(self, run: Path, config: dict[str, Any]):
        policies = ocp.training.preservation_policies
        best = policies.BestN(
            get_metric_fn=lambda metrics: metrics[SCORE],
            n=1,
            keep_checkpoints_without_metrics=False,
        )
        self._config = config
        self._folder = (run / CHECKPOINTS).absolute()
        with raise_together():
            for score in _unreadable_scores(self._folder) if is_primary() else ():
                warn(f"{score} is damaged: its checkpoint counts as one that was not validated")
                set_aside(score)
        self._checkpointer = ocp.training.Checkpointer(
            self._folder,
            context=_context(),
            preservation_policy=policies.AnyPreservationPolicy([policies.LatestN(2), best]),
            cleanup_tmp_directories=True,
        )
        self._saving: ocp.AsyncResponse[bool] | None = None

    def save(self, step: int, state: TrainState, metrics: dict[str, float] | None) -> None:
        """Write the state after `step` steps in the background, with `metrics` if it was validated.

        Raises:
            SaveFailed: this checkpoint, or the one before, cannot be written.
            Elsewhere: another process could not write its part of the one before.
        """
        items = _items(state)
        sums = {name: checksum(item) for name, item in items.items()}
        self.wait()
        with save_failures_named(self._folder):
            self._saving = self._checkpointer.save_checkpointables_async(
                step,
                items,
                force=True,
                metrics=dict(metrics) if metrics else None,
                custom_metadata={"config": self._config, "checksums": sums},
            )

    def restore(self, abstract: TrainState) -> tuple[int, TrainState] | None:
        """Return the latest intact step and its state, or None where nothing was saved yet.

        Later checkpoints that are damaged are named on stderr and renamed to STEP.damaged.

        Raises:
            Damaged: there are checkpoints, and all are damaged; they are left as they are.
        """
        faults: dict[Path, ValueError] = {}
        for saved in reversed(self._checkpointer.checkpoints):
            path = self._folder / str(saved.step)
            try:
                with raise_together():
                    items = _load(path, _items(abstract))
            except ValueError as fault:
                faults[path] = fault
                continue
            with raise_together():
                for damaged, why in faults.items() if is_primary() else ():
                    warn(f"{why}; the run continues from step {saved.step}")
                    set_aside(damaged)
            self._checkpointer.reload()
            return saved.step, TrainState(**items["model"], optimizer=items["optimizer"])
        if faults:
            raise Damaged("; ".join(map(str, faults.values())) + "; train in a new folder")
        return None

    def wait(self) -> None:
        """Wait until all processes have finished writing.

        Raises:
            SaveFailed: the checkpoint cannot be written.
            Elsewhere: another process cannot write.
        """
        waiting = True
        while waiting:
            with raise_together(), save_failures_named(self._folder):
                waiting = not self._written()
            waiting = any(allgather_text("waiting" if waiting else ""))

    def _written(self) -> bool:
        """Wait a moment for the last save, and return whether it is done."""
        try:
            return self._saving is None or self._saving.result(MOMENT)
        except TimeoutError as error:
            if error.args:  # a timeout of Orbax itself
                raise
            return False

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if not isinstance(error, Elsewhere):  # closing would wait for that process
                self._checkpointer.close()
        except Exception:  # of a background save; the error that ended the run is more important
            if error is None:
                raise
        if error is not None:
            error.add_note(last_finished(self._folder))


def find_checkpoint(path: str | Path) -> Path:
    """Return the folder of a checkpoint: the path itself, or the best (else the latest) of a run.

    Raises:
        FileNotFoundError: there is neither a checkpoint nor a run with one.
        Damaged: the score of a checkpoint cannot be read.
    """
    path = Path(path).absolute()
    if (path / "model").is_dir():
        return path
    folder = path / CHECKPOINTS
    if not folder.is_dir():
        raise FileNotFoundError(
            f"no checkpoint at {path}: give the folder of a run, or a folder checkpoints/STEP in it"
        )
    for score in _unreadable_scores(folder):
        raise Damaged(f"{score} is damaged: give the folder of a checkpoint in {folder}")
    with ocp.training.Checkpointer(folder) as checkpointer:
        saved = list(checkpointer.checkpoints)
    if not saved:
        raise FileNotFoundError(f"the run in {path} has not saved a checkpoint yet: wait for it")
    validated = [checkpoint for checkpoint in saved if checkpoint.metrics]
    best = max(validated or saved, key=lambda c: (c.metrics[SCORE] if validated else 0, c.step))
    return folder / str(best.step)


def read_config(checkpoint: Path) -> dict[str, Any]:
    """Return the configuration that a checkpoint was saved with, as JSON values.

    Raises:
        Damaged: the configuration cannot be read; the error names other checkpoints of the run.
    """
    with others_named(checkpoint):
        return _metadata(checkpoint)["config"]


def load_model(checkpoint: Path, parameters: PyTree, statistics: PyTree) -> tuple[PyTree, PyTree]:
    """Return parameters and statistics of a checkpoint, given their abstract trees.

    Raises:
        Damaged: they cannot be read, or differ from what was saved; the error names other
            checkpoints of the run.
    """
    with others_named(checkpoint):
        target = {"model": {"parameters": parameters, "statistics": statistics}}
        model = _load(checkpoint, target)["model"]
    return model["parameters"], model["statistics"]


def _context() -> ocp.Context:
    """Return a context in which Orbax tolerates jumps of the clock and reports failures at once."""
    context = ocp.Context()
    options = context.asynchronous
    options.timeout_secs = CENTURY
    options.create_directories_asynchronously = False
    given = options.v0  # the only access to Orbax's barriers
    options.v0 = lambda: dataclasses.replace(given(), barrier_sync_fn=_meet)
    return context


def _meet(*, key: str, timeout_ms: int) -> None:
    """Wait for the other processes at a barrier of Orbax.

    A process with a failed write arrives with an active exception at a barrier. The others wait at
    another one and never reach it, so the process raises the exception instead of waiting.
    """
    if error := sys.exception():
        raise error
    get_barrier_sync_fn()(key=key, timeout_ms=timeout_ms)


def _items(state: TrainState) -> dict[str, PyTree]:
    model = {"parameters": state.parameters, "statistics": state.statistics}
    return {"model": model, "optimizer": state.optimizer}


def _load(checkpoint: Path, target: dict[str, PyTree]) -> dict[str, PyTree]:
    """Return the items of a checkpoint, given their abstract trees; raise Damaged on failure."""
    sums = _metadata(checkpoint).get("checksums")  # the earliest checkpoints have none
    try:
        items = ocp.load_checkpointables(checkpoint, target)
    except Exception as error:
        raise Damaged(f"{checkpoint} cannot be read ({reason(error)})") from error
    if sums and any(checksum(items[name]) != sums[name] for name in target):
        raise Damaged(f"{checkpoint} is damaged (it does not hold what was saved)")
    return items


def _metadata(checkpoint: Path) -> dict[str, Any]:
    try:
        metadata = ocp.checkpointables_metadata(checkpoint).custom_metadata
    except Exception as error:
        raise Damaged(f"{checkpoint} cannot be read ({reason(error)})") from error
    if not metadata:  # Orbax returns nothing for a damaged file
        raise Damaged(f"{checkpoint} is damaged (its metadata cannot be read)")
    return metadata


def _unreadable_scores(folder: Path) -> list[Path]:
    """Return the files of scores on which Orbax would fail."""

    def readable(path: Path) -> bool:
        try:
            return SCORE in json.loads(path.read_bytes())
        except ValueError:
            return False

    return [path for path in folder.glob("*/metrics/metrics") if not readable(path)]
