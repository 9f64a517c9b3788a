"""A queue of predictions that are submitted one by one and made one after another.

The queue is independent of the page. It receives patterns, keeps each pattern and its prediction in
a separate folder, and returns both by an id that cannot be guessed.
"""

import logging
import re
import secrets
import shutil
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any, Literal

from cmed_jax.prediction.batch import JOB_STEPS, Job
from cmed_jax.prediction.manifest import SUFFIXES
from cmed_jax.prediction.options import DEFAULTS, PredictionOptions

MOST_WAITING = 20
"""The number of waiting predictions at which further ones are refused."""

KEPT = 50
"""The number of predictions that are kept; the folders of older ones are removed."""

LONGEST_NAME = 80
"""The largest length of a file's name without its suffix."""

Predict = Callable[[Job, Path, Callable[[str], object]], Mapping[str, Any]]
"""A function that predicts a job and returns the figures of the prediction.

It writes the files named in the figures into a folder, and calls its last argument with each of the
`JOB_STEPS` at its beginning.
"""


class Busy(Exception):
    """An error: too many predictions are waiting."""


@dataclass(eq=False)
class QueuedPrediction:
    """A prediction in the queue.

    Attributes:
        job: the pattern and its options.
        folder: the folder of the pattern and of the files written.
        state: the state of the prediction.
        step: the current one of the `JOB_STEPS`, while the prediction is being made.
        figures: the figures of the prediction, once it is done.
        error: the reason in a sentence, once it has failed.
    """

    job: Job
    folder: Path
    state: Literal["waiting", "working", "done", "failed"] = "waiting"
    step: str = JOB_STEPS[0]
    figures: Mapping[str, Any] = field(default_factory=dict)
    error: str | None = None

    @property
    def over(self) -> bool:
        """Whether the prediction is done or has failed."""
        return self.state in ("done", "failed")

    @property
    def steps_done(self) -> int:
        """The number of the `JOB_STEPS` that are done."""
        return len(JOB_STEPS) if self.over else JOB_STEPS.index(self.step)

    def begin(self, step: str) -> None:
        """Set the current step."""
        self.step = step


class PredictionQueue:
    """A queue that makes predictions one after another, in a thread."""

    def __init__(self, predict: Predict, folder: Path, common: PredictionOptions = DEFAULTS):
        """Start the queue.

        Args:
            predict: the function that makes a prediction.
            folder: the folder for patterns and predictions.
            common: the options that apply where a user gives none.
        """
        self.common = common
        self._predict = predict
        self._folder = folder
        self._tasks: dict[str, QueuedPrediction] = {}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="predict")

    def submit(self, name: str, data: bytes, options: PredictionOptions) -> str:
        """Add a pattern to the queue, and return the id of its prediction.

        Args:
            name: the name of the file, as given by its owner.
            data: the content of the file.
            options: the options of the prediction.

        Raises:
            Busy: if too many predictions are waiting.
            ValueError: if the name is not that of a pattern, or the options are unusable.
        """
        options.check()
        name = safe_name(name)
        if sum(not task.over for task in self._tasks.values()) >= MOST_WAITING:
            raise Busy(f"{MOST_WAITING} predictions wait already: try again in a minute")
        self._forget()
        identity = secrets.token_urlsafe(16)
        folder = self._folder / identity
        folder.mkdir()
        file = folder / name
        file.write_bytes(data)
        self._tasks[identity] = task = QueuedPrediction(Job(file, options), folder)
        self._thread.submit(self._work, task)
        return identity

    def task(self, identity: str) -> QueuedPrediction:
        """Return a prediction by its id.

        Raises:
            KeyError: if there is no prediction with this id.
        """
        return self._tasks[identity]

    def ahead(self, identity: str) -> int:
        """Return the number of unfinished predictions before this one."""
        earlier = list(self._tasks)[: list(self._tasks).index(identity)]
        return sum(not self._tasks[other].over for other in earlier)

    def close(self) -> None:
        """Cancel the waiting predictions, and wait for the one that is being made."""
        self._thread.shutdown(cancel_futures=True)

    def _work(self, task: QueuedPrediction) -> None:
        task.state = "working"
        try:
            task.figures = self._predict(task.job, task.folder, task.begin)
            task.state = "done"
        except (ValueError, OSError) as error:
            task.error = str(error).replace(f"{task.folder}/", "")
            task.state = "failed"
        except Exception:
            logging.exception("prediction of %s", task.job.file.name)
            task.error = "something went wrong that should not have: the terminal says what"
            task.state = "failed"

    def _forget(self) -> None:
        """Remove the oldest predictions and their folders."""
        over = [identity for identity, task in self._tasks.items() if task.over]
        for identity in over[: max(len(self._tasks) - KEPT + 1, 0)]:
            shutil.rmtree(self._tasks.pop(identity).folder)


def safe_name(name: str) -> str:
    """Return the name of a pattern's file without folders and odd characters.

    Raises:
        ValueError: if the suffix is not that of a pattern.
    """
    plain = re.sub(r"[^\w.+() -]", "_", PurePath(name.replace("\\", "/")).name).lstrip(". ")
    stem, suffix = PurePath(plain).stem, PurePath(plain).suffix
    if suffix.lower() not in SUFFIXES:
        raise ValueError(
            f"{plain!r} is not called like a pattern: give a file of {', '.join(sorted(SUFFIXES))}"
        )
    return stem[:LONGEST_NAME] + suffix
