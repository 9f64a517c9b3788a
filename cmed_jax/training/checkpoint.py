"""Checkpoints: the one file that knows of Orbax.

A run's folder holds `checkpoints/STEP/` with two items, `model` (parameters and batch statistics)
and `optimizer`, and the run's configuration as metadata, so that one checkpoint suffices for a
prediction. The latest one and the best on the validation materials are kept.
"""

from pathlib import Path
from typing import Any

from jaxtyping import PyTree
from orbax.checkpoint import v1 as ocp

from cmed_jax.training.step import TrainState

FOLDER = "checkpoints"
SCORE = "ssim"
"""The validation figure, larger is better, by which the best checkpoint is kept."""


class Checkpoints:
    """The checkpoints of one run, written while training goes on."""

    def __init__(self, run: Path, config: dict[str, Any]):
        policies = ocp.training.preservation_policies
        best = policies.BestN(
            get_metric_fn=lambda metrics: metrics[SCORE], n=1, keep_checkpoints_without_metrics=False
        )
        self._config = config
        self._checkpointer = ocp.training.Checkpointer(
            (run / FOLDER).absolute(),
            preservation_policy=policies.AnyPreservationPolicy([policies.LatestN(1), best]),
            cleanup_tmp_directories=True,
        )

    def save(self, step: int, state: TrainState, metrics: dict[str, float] | None) -> None:
        """Write the state after `step` steps in the background; `metrics` where it was validated."""
        items = {
            "model": {"parameters": state.parameters, "statistics": state.statistics},
            "optimizer": state.optimizer,
        }
        self._checkpointer.save_checkpointables_async(
            step,
            items,
            force=True,
            metrics=dict(metrics) if metrics else None,
            custom_metadata={"config": self._config},
        )

    def restore(self, abstract: TrainState) -> tuple[int, TrainState] | None:
        """Return the latest step and its state, or None where nothing was saved yet."""
        latest = self._checkpointer.latest
        if latest is None:
            return None
        target = {
            "model": {"parameters": abstract.parameters, "statistics": abstract.statistics},
            "optimizer": abstract.optimizer,
        }
        items = self._checkpointer.load_checkpointables(latest.step, target)
        return latest.step, TrainState(**items["model"], optimizer=items["optimizer"])

    def wait(self) -> None:
        """Return when all that was to be written is written."""
        self._checkpointer.wait()

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *error: object) -> None:
        self._checkpointer.close()
