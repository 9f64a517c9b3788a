"""Signals become requests that the loop reads."""

import signal

import pytest

from cmed_jax.training.stop import stop_on_signals


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_are_remembered_and_handlers_put_back(number):
    before = signal.getsignal(number)
    with stop_on_signals() as stop:
        assert stop.signal is None
        signal.raise_signal(number)
        assert stop.signal == number
        assert signal.getsignal(number) is before  # the next one ends the process at once
    assert signal.getsignal(number) is before
