"""The log of a run: JSON lines, TensorBoard, and a progress bar."""

import json
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.summary import scalar

from cmed_jax.io.atomic import write_text
from cmed_jax.io.run import METRICS
from cmed_jax.training.speed import Throughput


class Log:
    """The metrics of one run; a continued run appends from the step of its checkpoint."""

    def __init__(self, folder: Path, first: int, steps: int, speed: Throughput):
        """Begin after step `first` of `steps`; later lines of an earlier process are dropped."""
        path = folder / METRICS
        kept = _lines_until(path, first)
        write_text(path, "".join(kept))
        self._folder, self._file = folder, path.open("a")
        self._board = _Board(folder / "tensorboard", first + 1)
        self.speed = speed
        self._steps = steps
        self._bar = _bar()
        self._task = self._bar.add_task("", total=steps, completed=first, loss="", rate="")

    def __enter__(self) -> "Log":
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()
        with _unwritten(self._folder), closing(self._board), closing(self._file):
            pass

    def advance(self, step: int, loss: float) -> None:
        """Show that `step` steps are done."""
        rate = f"{self.speed.rate:.3g} voxel queries/s"
        self._bar.update(self._task, completed=step, loss=f"loss {loss:.4f}", rate=rate)

    def write(self, step: int, metrics: Mapping[str, float], *, show: bool = False) -> None:
        """Record metrics of a step; print them if `show` is set or there is no terminal.

        Raises:
            OSError: the metrics cannot be written.
        """
        with _unwritten(self._folder):
            self._file.write(json.dumps({"step": step, **metrics}) + "\n")
            self._file.flush()
            self._board.write(step, metrics)
        if show or not self._bar.console.is_terminal:
            shown = "  ".join(f"{name} {value:.4g}" for name, value in metrics.items())
            line = f"step {step}/{self._steps}  {shown}"
            self._bar.console.print(line, highlight=False, soft_wrap=True)


def timed(path: Path, queries: int) -> list[dict[str, Any]]:
    """Return the metrics that a run wrote, each with the "seconds" spent in steps up to it.

    Time spent on validation, and on handing a checkpoint over, is excluded from the recorded speeds
    and from these seconds. The time in which a checkpoint is written beside the steps counts.
    Damaged lines are left out.

    Args:
        path: the file of the metrics.
        queries: the number of voxel queries in a step.
    """
    seconds, done, rows = 0.0, 0, []
    for row in _rows(path):
        if rate := row.get("voxel_queries_per_second"):
            seconds += (row["step"] - done) * queries / rate
            done = row["step"]
        rows.append(row | {"seconds": seconds})
    return rows


class _Board:
    """The metrics for TensorBoard.

    They are written synchronously. The usual writer has a thread that ends on a full disk and hangs
    when the clock jumps, and training would then wait for it forever.
    """

    def __init__(self, folder: Path, purge_step: int):
        folder.mkdir(parents=True, exist_ok=True)
        self._writer = EventsWriter(str(folder / "events"))
        start = SessionLog(status=SessionLog.START)  # drops events at and after this step
        self._writer.write_event(Event(step=purge_step, session_log=start))

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        for name, value in metrics.items():
            event = Event(step=step, wall_time=time.time(), summary=scalar(name, value))
            self._writer.write_event(event)
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()


@contextmanager
def _unwritten(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OSError(
            f"cannot write the log in {folder} ({error.strerror}): "
            "see to it and start the same command again"
        ) from error


def _bar() -> Progress:
    return Progress(
        TextColumn("step"),
        MofNCompleteColumn(),
        BarColumn(),
        TextColumn("{task.fields[loss]}"),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        TextColumn("left"),
        console=Console(file=sys.stdout),
        disable=not sys.stdout.isatty(),
    )


def _lines_until(path: Path, step: int) -> list[str]:
    if not path.exists():
        return []
    return [json.dumps(row) + "\n" for row in _rows(path) if row["step"] <= step]


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the metrics of each line; those cut off by a kill, or damaged, are left out."""
    for line in path.read_text(errors="replace").splitlines():
        with suppress(ValueError):
            row = json.loads(line)
            if isinstance(row, dict) and isinstance(row.get("step"), int):
                yield row
