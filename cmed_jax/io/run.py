"""Names in a run's folder."""

from pathlib import Path

CONFIG = "config.json"


METRICS = "metrics.jsonl"


CHECKPOINTS = "checkpoints"


def run_folder(path: Path) -> Path:
    """Return the folder of a run, given it or a checkpoint inside it."""
    return path.parents[1] if path.parent.name == CHECKPOINTS else path
