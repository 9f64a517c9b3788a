"""The clock of laps: queries and operations per second, waiting, and pauses."""

import pytest

from cmed_jax.training import speed as module
from cmed_jax.training.speed import Throughput


@pytest.fixture
def clock(monkeypatch):
    """A clock that is set by the test."""

    class Clock:
        now = 100.0

        def __call__(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr(module.time, "monotonic", clock)
    return clock


def test_a_lap_counts_what_was_done_in_it_and_leaves_pauses_out(clock):
    speed = Throughput(100, queries=1000, flops=2e9, peak=1e10)
    clock.now += 6
    with speed.paused():
        clock.now += 4
    lap = speed.lap(110)
    assert lap["voxel_queries_per_second"] == pytest.approx(10 * 1000 / 6)
    assert lap["share_of_peak"] == pytest.approx(10 * 2e9 / 6 / 1e10)
    clock.now += 1
    assert speed.lap(111)["voxel_queries_per_second"] == pytest.approx(1000)
    assert speed.rate == pytest.approx(1000)


def test_an_unknown_peak_is_not_guessed(clock):
    assert "share_of_peak" not in Throughput(0, 1, 1.0, peak=None).lap(1)


def test_waiting_is_the_time_between_asking_and_getting(clock):
    speed = Throughput(0, queries=1, flops=1.0, peak=None)

    def slow():
        for number in range(3):
            clock.now += 2
            yield number

    for _ in speed.waiting(slow()):
        clock.now += 6  # a step
    assert speed.lap(3)["share_waiting"] == pytest.approx(6 / 24)
    clock.now += 1
    assert speed.lap(3)["share_waiting"] == 0
