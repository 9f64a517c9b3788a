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
            get_metric_fn=lambda metrics: metrics[SCORE],
            n=1,
            keep_checkpoints_without_metrics=False,
        )
        self._config = config
        self._checkpointer = ocp.training.Checkpointer(
            (run / FOLDER).absolute(),
            preservation_policy=policies.AnyPreservationPolicy([policies.LatestN(1), best]),
            cleanup_tmp_directories=True,
        )

    def save(self, step: int, state: TrainState, metrics: dict[str, float] | None) -> None:
        """Write the state after `step` steps in the background; `metrics` if it was validated."""
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


def find_checkpoint(path: str | Path) -> Path:
    """Return the folder of a checkpoint: the path itself, or the best (else the latest) of a run.

    Raises:
        FileNotFoundError: there is neither a checkpoint nor a run with one.
    """
    path = Path(path).absolute()
    if (path / "model").is_dir():
        return path
    folder = path / FOLDER
    if not folder.is_dir():
        raise FileNotFoundError(
            f"no checkpoint at {path}: give the folder of a run, or a folder checkpoints/STEP in it"
        )
    with ocp.training.Checkpointer(folder) as checkpointer:
        saved = list(checkpointer.checkpoints)
    if not saved:
        raise FileNotFoundError(f"the run in {path} has not saved a checkpoint yet: wait for it")
    validated = [checkpoint for checkpoint in saved if checkpoint.metrics]
    best = max(validated or saved, key=lambda c: (c.metrics[SCORE] if validated else 0, c.step))
    return folder / str(best.step)


def run_folder(path: Path) -> Path:
    """Return the folder of a run, given it or a checkpoint inside it."""
    return path.parents[1] if path.parent.name == FOLDER else path


def read_config(checkpoint: Path) -> dict[str, Any]:
    """Return the configuration that a checkpoint was saved with, as JSON values."""
    return ocp.checkpointables_metadata(checkpoint).custom_metadata["config"]


def load_model(checkpoint: Path, parameters: PyTree, statistics: PyTree) -> tuple[PyTree, PyTree]:
    """Return parameters and statistics of a checkpoint, given their abstract trees."""
    target = {"model": {"parameters": parameters, "statistics": statistics}}
    model = ocp.load_checkpointables(checkpoint, target)["model"]
    return model["parameters"], model["statistics"]
