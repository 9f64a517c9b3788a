"""Metrics of a run that stopped and continued: every step once, in JSON lines and TensorBoard."""

import gc
import io
import itertools
import json
import shutil
import sys
import time

import pytest

from cmed_jax.training import speed as module
from cmed_jax.training.log import Log, timed
from cmed_jax.training.speed import Throughput


def speed(first=0):
    return Throughput(first, queries=1000, flops=1e9, peak=None)


def lines(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture
def clock(monkeypatch):
    """A clock that is set by the test."""

    class Clock:
        now = 100.0

    monkeypatch.setattr(module.time, "monotonic", lambda: Clock.now)
    return Clock


def test_each_write_is_a_line_at_once(tmp_path):
    with Log(tmp_path, 0, 10, speed()) as run:
        run.write(1, {"loss": 0.5})
        assert lines(tmp_path) == [{"step": 1, "loss": 0.5}]
        run.write(2, {"loss": 0.25, "validation/ssim": 0.75})
    assert lines(tmp_path)[1] == {"step": 2, "loss": 0.25, "validation/ssim": 0.75}
    assert list((tmp_path / "tensorboard").glob("events.*"))


def test_a_run_that_goes_on_drops_what_came_after_its_checkpoint(tmp_path):
    with Log(tmp_path, 0, 10, speed()) as run:
        for step in range(1, 7):
            run.write(step, {"loss": 1.0})
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 7, "lo')  # a kill
    with Log(tmp_path, 4, 10, speed()) as run:
        for step in range(5, 9):
            run.write(step, {"loss": 2.0})
    found = [(line["step"], line["loss"]) for line in lines(tmp_path)]
    assert found == [(n, 1.0) for n in range(1, 5)] + [(n, 2.0) for n in range(5, 9)]


DAMAGED = (
    "[1]",
    "7",
    '"step"',
    "null",
    "{}",
    '{"loss": 1.0}',
    '{"step": "2"}',
    '{"step": 2, "lo',
    "",
)
"""Lines that hold no metrics of a step."""


@pytest.mark.parametrize("damaged", DAMAGED)
@pytest.mark.parametrize("place", [1, 3])
def test_a_damaged_line_costs_no_other(tmp_path, damaged, place):
    """The lines have 10 seconds each; the last one may be cut off."""
    rows = [{"step": n, "voxel_queries_per_second": 100.0} for n in (1, 2, 3)]
    texts = [json.dumps(row) for row in rows]
    texts.insert(place, damaged)
    path = tmp_path / "metrics.jsonl"
    path.write_text("\n".join(texts))
    assert timed(path, 1000) == [row | {"seconds": 10.0 * row["step"]} for row in rows]
    with Log(tmp_path, 2, 10, speed(2)) as run:
        run.write(3, {"loss": 2.0})
    assert lines(tmp_path) == [*rows[:2], {"step": 3, "loss": 2.0}]


def test_seconds_of_training_are_those_in_steps(tmp_path, clock):
    counted = speed()
    with Log(tmp_path, 0, 10, counted) as run:
        clock.now += 8
        run.write(4, counted.lap(4))
        with counted.paused():  # validation
            clock.now += 100
        clock.now += 3
        run.write(7, counted.lap(7))
        run.write(7, {"validation/ssim": 0.5})
    rows = timed(tmp_path / "metrics.jsonl", 1000)
    assert [row["seconds"] for row in rows] == pytest.approx([8, 11, 11])
    assert [row["step"] for row in rows] == [4, 7, 7]


def test_a_clock_that_jumps_holds_nothing_up(tmp_path, monkeypatch):
    """The thread of the usual writer waits by the wall clock, and its queue fills."""
    now, hours = time.time, itertools.cycle([0, 30_000, -30_000])
    monkeypatch.setattr(time, "time", lambda: now() + 3600 * next(hours))
    with Log(tmp_path, 0, 50, speed()) as run:
        for step in range(1, 51):
            run.write(step, {"loss": 1.0} | run.speed.lap(step))
    assert [line["step"] for line in lines(tmp_path)] == list(range(1, 51))
    assert all(line["voxel_queries_per_second"] > 0 for line in lines(tmp_path))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_full_disk_is_named(small_disk):
    def write():
        with Log(small_disk, 0, 10, speed()) as log:
            (small_disk / "filler").write_bytes(bytes(shutil.disk_usage(small_disk).free))
            for step in range(1, 1000):  # a file may fill the block that it has begun
                log.write(step, {"loss": 1.0})

    message = rf"cannot write the log in {small_disk} \(No space left on device\): see to it"
    with pytest.raises(OSError, match=message):
        write()
    gc.collect()


def test_without_a_terminal_a_step_is_one_line(tmp_path, capsys):
    with Log(tmp_path, 0, 10, speed()) as run:
        run.advance(3, 0.5)
        run.write(3, {"loss": 0.5})
        run.write(3, {"validation/ssim": 0.5, "validation/psnr": 30.0}, show=True)
    lines = "step 3/10  loss 0.5", "step 3/10  validation/ssim 0.5  validation/psnr 30"
    assert capsys.readouterr().out.splitlines() == list(lines)


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_on_a_terminal_a_bar_shows_step_loss_rate_and_time(tmp_path, clock, monkeypatch):
    for name, value in {"TERM": "xterm", "COLUMNS": "160"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "stdout", Terminal())
    with Log(tmp_path, 0, 10, speed()) as run:
        clock.now += 2
        run.speed.lap(5)
        run.advance(5, 0.1234)
        run.write(5, {"loss": 0.1234})
        run.write(5, {"validation/ssim": 0.5}, show=True)
    shown = sys.stdout.getvalue()
    for part in ("5/10", "loss 0.1234", "2.5e+03 voxel queries/s", "left", "validation/ssim 0.5"):
        assert part in shown
    assert "step 5/10  loss" not in shown  # the bar shows it
