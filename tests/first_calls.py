"""A type checker for jaxtyping that looks at the first calls of each function in each test.

A search calls some functions a hundred thousand times with the same types. To check every call
takes half of the time of the suite.
"""

import sys
from collections.abc import Callable
from functools import reduce, wraps
from types import FunctionType

from beartype import beartype

CALLS = 20
"""The number of calls of each function that a test checks."""

_test = 0
_unchecked: set[FunctionType] = set()


def next_test() -> None:
    """Begin to count the calls anew."""
    global _test
    _test += 1
    while _unchecked:
        _unchecked.pop().__no_type_check__ = False


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
        if calls <= CALLS:
            return check(*arguments, **named)
        if calls == CALLS + 1:
            _leave(function)

    return first_calls


def _leave(function: Callable) -> None:
    """Let jaxtyping pass by a function, which saves its own time, until the test has ended."""
    path = function.__qualname__.split(".")
    if "<locals>" in path:
        return
    module = sys.modules[function.__module__]
    found = reduce(lambda inside, name: getattr(inside, name, None), path, module)
    for name in ("fget", "__func__", "__wrapped__"):  # of properties, class methods, and programs
        if not isinstance(found, FunctionType):
            found = getattr(found, name, found)
    if isinstance(found, FunctionType):
        found.__no_type_check__ = True
        _unchecked.add(found)
