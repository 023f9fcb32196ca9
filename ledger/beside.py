"""What takes long for many rows is done beside the loop, which answers others meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

IN_A_THREAD = 2000
"""So many rows are worked on beside the event loop, so that it keeps turning."""
Words = ParamSpec("Words")
Done = TypeVar("Done")


async def beside(rows: int, work: Callable[Words, Done], *words: Words.args, **more: Words.kwargs) -> Done:
    """Do what takes long for so many rows in a thread."""
    return work(*words, **more) if rows < IN_A_THREAD else await asyncio.to_thread(work, *words, **more)
