"""Our engine, with its deliveries read by pika.  An entry point: it reads the environment."""

from __future__ import annotations

from broker.amqp import _Connection
from tests.benchmarks.peers import engine_app

if __name__ == "__main__":
    del _Connection._on_data_available  # pika's own is behind it
    engine_app.main()
