"""Let Beancount book a statement, in a process of its own and print what it found as JSON.

python tests/beancount_reads.py FILE
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from decimal import Decimal

from beancount import loader


def main(file: str) -> None:
    """Print errors, open lots {coin: {label: [units, cost]}}, the gains posted, and those of the booked lots."""
    entries, errors, _ = loader.load_file(file)
    lots: dict[str, dict[str, list[Decimal]]] = defaultdict(dict)
    posted = booked = Decimal(0)
    for entry in entries:
        proceeds = cost = Decimal(0)
        gains = None
        for posting in getattr(entry, "postings", ()):
            units = posting.units
            if posting.cost is not None:
                held = lots[units.currency].setdefault(posting.cost.label, [Decimal(0), Decimal(0)])
                held[0] += units.number
                held[1] += units.number * posting.cost.number
                cost += units.number * posting.cost.number
            elif posting.account == "Income:Gains":
                gains = -units.number
            else:
                proceeds += units.number
        if gains is not None:
            posted += gains
            booked += proceeds + cost
    left = {
        coin: {label: [str(units), str(cost)] for label, (units, cost) in held.items() if units}
        for coin, held in lots.items()
    }
    found = {"errors": [str(error.message) for error in errors], "lots": left}
    sys.stdout.write(json.dumps(found | {"posted": str(posted), "booked": str(booked)}))


if __name__ == "__main__":
    main(sys.argv[1])
