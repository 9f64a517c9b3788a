"""Serve the local page: `python -m cmed_jax.app runs/demo`, then open http://127.0.0.1:8000."""

import contextlib
import importlib.util
import signal
import socket
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import tyro

from cmed_jax.app.queue import Predict, PredictionQueue
from cmed_jax.cli import run_command
from cmed_jax.predict import COMMAND_DEFAULTS, command_line
from cmed_jax.prediction.batch import Format, Job, Output
from cmed_jax.prediction.restore import restore
from cmed_jax.report.output import predict_to_files

HOST = "127.0.0.1"
"""The address of the page, which only this machine can reach."""

FORMATS: tuple[Format, ...] = ("npz", "cube", "vasp", "xsf", "ccp4")
"""The offered formats; only the first one where the cell is neither given nor found."""


@dataclass(frozen=True)
class Options:
    """Serve a page on this machine that predicts densities from patterns.

    Attributes:
        model: the name of a released network, a run's folder, or a checkpoint inside it.
        port: the port of the address; 0 takes a free one.
        samples: the number of densities to draw from the network beside the plain one; their
            deviation colours the surfaces. There are none where a known crystal or a structure of
            the search is the answer.
    """

    model: tyro.conf.Positional[str]
    port: int = 8000
    samples: int = 8


def predictor(model: str) -> Predict:
    """Return the function that predicts the queue's jobs, with a network that is restored once.

    Raises:
        FileNotFoundError: if there is no such network.
    """
    output, restored = Output(model, FORMATS), restore(model)

    def predict(job: Job, folder: Path, progress: Callable[[str], object]) -> Mapping[str, Any]:
        named = job._replace(file=Path(job.file.name))
        command = command_line(named, output, Path("predictions"))
        return predict_to_files(job, output, restored, folder, command, progress)

    return predict


def main(args: list[str] | None = None) -> int:
    """Run the command."""
    options = tyro.cli(Options, args=args, prog="python -m cmed_jax.app")
    _check_installed()
    common = replace(COMMAND_DEFAULTS, samples=options.samples)
    common.check()
    predict = predictor(options.model)
    with (
        socket.create_server((HOST, options.port)) as listening,
        tempfile.TemporaryDirectory(prefix="cmed_jax-") as folder,
    ):
        print(f"open http://{HOST}:{listening.getsockname()[1]}; Ctrl-C ends", flush=True)
        serve(PredictionQueue(predict, Path(folder), common), listening)
    return 0


def serve(queue: PredictionQueue, listening: socket.socket) -> None:
    """Serve the page until it is interrupted or terminated."""
    import uvicorn

    from cmed_jax.app.server import application

    config = uvicorn.Config(application(queue), log_config=None, access_log=False)
    # uvicorn shuts down in order, and then raises the signal again.
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with contextlib.suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[listening])
    finally:
        signal.signal(signal.SIGTERM, before)
        queue.close()


def _check_installed() -> None:
    for name in ("starlette", "uvicorn"):
        if importlib.util.find_spec(name) is None:
            raise ValueError(f"{name} is not installed: pip install 'cmed-jax[app]'")


if __name__ == "__main__":
    run_command(main)
