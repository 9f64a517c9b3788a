"""Names of the files and folders in the folder of a run."""

from pathlib import Path

CONFIG = "config.json"

METRICS = "metrics.jsonl"

CHECKPOINTS = "checkpoints"


def run_folder(path: Path) -> Path:
    """Return the folder of a run from its own path or that of a checkpoint inside it."""
    return path.parents[1] if path.parent.name == CHECKPOINTS else path
