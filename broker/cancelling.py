"""A cancellation that a library lost on the way is raised after all.

aiormq waits for its answers through tasks of its own; a cancellation that arrives just as such an answer does can end
there (1 in 20 of those that meet a connection being opened).  A loop that was told to end would go on for ever.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def heeds_cancellation(function: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    """Make a coroutine function end with CancelledError whenever its task was cancelled while it ran."""

    @wraps(function)
    async def heeding(*args: P.args, **kwargs: P.kwargs) -> T:
        task = asyncio.current_task()
        before = task.cancelling() if task is not None else 0

        def is_cancelled() -> bool:
            return task is not None and task.cancelling() > before

        try:
            result = await function(*args, **kwargs)
        except Exception as error:
            if is_cancelled():
                raise asyncio.CancelledError from error
            raise
        if is_cancelled():
            raise asyncio.CancelledError
        return result

    return heeding
