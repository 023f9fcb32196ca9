"""How gaps in moto are filled: an action that is missing is added, one that says too little is wrapped.

An action that moto has by now must not be added over it: that is an error, so that what moto learns is used.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

from moto.core.responses import BaseResponse

Answer = Any
Action = Callable[[Any], Answer]


class AlreadyThere(AssertionError):
    """Moto has learnt this action: remove ours."""


class Shelf:
    """What our own actions remember, apart for each account and region."""

    def __init__(self) -> None:
        """Begin empty."""
        self._kept: defaultdict[tuple[str, str], dict[str, Any]] = defaultdict(dict)

    def of(self, response: BaseResponse) -> dict[str, Any]:
        """Everything kept for whoever asks."""
        return self._kept[response.current_account, response.region]

    def of_region(self, account: str, region: str) -> dict[str, Any]:
        """The same for what is made by CloudFormation."""
        return self._kept[account, region]


def add(where: type[BaseResponse]) -> Callable[[Action], Action]:
    """Add an action under the function's name."""

    def place(action: Action) -> Action:
        if hasattr(where, action.__name__):
            raise AlreadyThere(f"{where.__name__}.{action.__name__}")
        setattr(where, action.__name__, action)
        return action

    return place


def wrap(where: type[BaseResponse]) -> Callable[[Callable[[Any, Action], Answer]], None]:
    """Put a function around moto's own action of that name; it is handed both."""

    def place(around: Callable[[Any, Action], Answer]) -> None:
        name = around.__name__
        own = getattr(where, name)

        def action(response: Any) -> Answer:
            return around(response, own)

        setattr(where, name, action)

    return place
