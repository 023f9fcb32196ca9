"""Which deliveries of a channel may be acknowledged, and how few frames say so.  Pure."""

from __future__ import annotations

from collections import deque


class Tags:
    """Delivery tags of one channel, in the order in which they came.

    One frame acknowledges a tag and all before it, so it names the last one before the lowest that is unfinished.  The
    broker closes a channel on which a tag is acknowledged twice, so what was said of a tag is kept until then.
    """

    def __init__(self) -> None:
        """Nothing was delivered yet."""
        self._order: deque[int] = deque()
        self._ended: set[int] = set()  # not said yet
        self._said: set[int] = set()  # said of it alone, out of turn

    def came(self, tag: int) -> None:
        """A message was delivered."""
        self._order.append(tag)

    def ended(self, tag: int) -> None:
        """It is to be acknowledged."""
        self._ended.add(tag)

    def said(self, tag: int) -> None:
        """It was given back, by a frame of its own."""
        self._said.add(tag)

    def due(self) -> int | None:
        """Give the tag that is to be acknowledged together with all before it; None where there is none."""
        last = None
        order, ended, said = self._order, self._ended, self._said
        while order:
            tag = order[0]
            if tag in ended:
                ended.discard(tag)
                last = tag
            elif tag in said:
                said.discard(tag)
            else:
                break
            order.popleft()
        return last

    @property
    def behind(self) -> int:
        """Count those that have ended behind one that has not."""
        return len(self._ended)

    def out_of_turn(self) -> list[int]:
        """Give those, to be acknowledged each by itself."""
        tags = sorted(self._ended)
        self._said |= self._ended
        self._ended.clear()
        return tags
