"""What is counted: ``series`` is the table of all of it, ``docs/operations.md`` shows the same to people."""

from ops.metrics.drops import log_dropped
from ops.metrics.meters import Meters

__all__ = ["Meters", "log_dropped"]
