"""A type checker for jaxtyping that looks at the first calls of each function in each test.

A search calls some functions a hundred thousand times with the same types. To check every call
takes half of the time of the suite.
"""

from collections.abc import Callable
from functools import wraps

from beartype import beartype

CALLS = 20
"""The number of calls of each function that a test checks."""

_test = 0


def next_test():
    """Begin to count the calls anew."""
    global _test
    _test += 1


def checked(function: Callable) -> Callable:
    """Return a function that checks the types of a call as beartype does, or does nothing."""
    check = beartype(function)
    test = calls = 0

    @wraps(function)
    def first_calls(*arguments, **named):
        nonlocal test, calls
        if test != _test:
            test, calls = _test, 0
        calls += 1
        return check(*arguments, **named) if calls <= CALLS else None

    return first_calls
