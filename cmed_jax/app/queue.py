"""Predictions that are asked for one by one, and made one after another.

A desk knows nothing of the page: it takes patterns, keeps each with its answer in a folder of its
own, and hands both out by an id that cannot be guessed.
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
"""Further predictions are refused while so many wait."""

KEPT = 50
"""Predictions that are kept; the folders of older ones are removed."""

LONGEST_NAME = 80

Predict = Callable[[Job, Path, Callable[[str], object]], Mapping[str, Any]]
"""Answers a job with its figures, writes the files that they name into a folder, and tells of each
of the `JOB_STEPS` when it begins."""


class Busy(Exception):
    """Too many predictions wait."""


@dataclass(eq=False)
class QueuedPrediction:
    """A prediction that was asked for.

    Attributes:
        job: what was asked.
        folder: of the pattern and the answer.
        state: where it stands.
        step: of the `JOB_STEPS`, while it is working.
        figures: of the prediction once it is done.
        error: in a sentence, once it has failed.
    """

    job: Job
    folder: Path
    state: Literal["waiting", "working", "done", "failed"] = "waiting"
    step: str = JOB_STEPS[0]
    figures: Mapping[str, Any] = field(default_factory=dict)
    error: str | None = None

    @property
    def over(self) -> bool:
        """Whether it is done, or has failed."""
        return self.state in ("done", "failed")

    @property
    def steps_done(self) -> int:
        """How many of the `JOB_STEPS` are behind it."""
        return len(JOB_STEPS) if self.over else JOB_STEPS.index(self.step)

    def begin(self, step: str) -> None:
        """Note which step begins."""
        self.step = step


class PredictionQueue:
    """Takes patterns and makes one prediction after another, in a thread."""

    def __init__(self, predict: Predict, folder: Path, common: PredictionOptions = DEFAULTS):
        """Start.

        Args:
            predict: makes a prediction.
            folder: to keep patterns and answers in.
            common: options that hold where a user writes nothing.
        """
        self.common = common
        self._predict = predict
        self._folder = folder
        self._tasks: dict[str, QueuedPrediction] = {}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="predict")

    def submit(self, name: str, data: bytes, options: PredictionOptions) -> str:
        """Take a pattern, and return the id of its prediction.

        Args:
            name: of the file, as its owner calls it.
            data: what it holds.
            options: of its prediction.

        Raises:
            Busy: too many wait.
            ValueError: the name is not that of a pattern, or its options are unusable.
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
        """Return a prediction.

        Raises:
            KeyError: there is none of this id.
        """
        return self._tasks[identity]

    def ahead(self, identity: str) -> int:
        """Return how many predictions come before this one."""
        earlier = list(self._tasks)[: list(self._tasks).index(identity)]
        return sum(not self._tasks[other].over for other in earlier)

    def close(self) -> None:
        """Make no further predictions, and wait for the one that is being made."""
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
        """Remove the oldest answers."""
        over = [identity for identity, task in self._tasks.items() if task.over]
        for identity in over[: max(len(self._tasks) - KEPT + 1, 0)]:
            shutil.rmtree(self._tasks.pop(identity).folder)


def safe_name(name: str) -> str:
    """Return the name of a pattern's file without folders and odd characters.

    Raises:
        ValueError: the suffix is not that of a pattern.
    """
    plain = re.sub(r"[^\w.+() -]", "_", PurePath(name.replace("\\", "/")).name).lstrip(". ")
    stem, suffix = PurePath(plain).stem, PurePath(plain).suffix
    if suffix.lower() not in SUFFIXES:
        raise ValueError(
            f"{plain!r} is not called like a pattern: give a file of {', '.join(sorted(SUFFIXES))}"
        )
    return stem[:LONGEST_NAME] + suffix
