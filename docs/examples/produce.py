"""Ask Sluice for a job with nothing but an AMQP client: no import of Sluice, one message on the queue ``jobs``.

    python produce.py amqp://user:password@127.0.0.1:5672/ fetch '{"provider": "cryptopanic", "dataset": "posts"}' key-1

The message is persistent and confirmed: when this program ends without an error, RabbitMQ has it on disk.
"""

import json
import sys

import pika

QUEUE = "jobs"
ARGUMENTS = {
    "x-queue-type": "quorum",
    "x-delivery-limit": 8,
    "x-dead-letter-exchange": "",
    "x-dead-letter-routing-key": "jobs.XQ",
}


def publish(url: str, body: bytes) -> None:
    """Publish one message and return once RabbitMQ has confirmed it."""
    connection = pika.BlockingConnection(pika.URLParameters(url))
    try:
        channel = connection.channel()
        # Declared as Sluice declares it: whoever comes first makes the queue, whoever comes second finds it fitting.
        channel.queue_declare(QUEUE, durable=True, arguments=ARGUMENTS)
        channel.confirm_delivery()
        persistent = pika.BasicProperties(delivery_mode=2, content_type="application/json")
        channel.basic_publish("", QUEUE, body, persistent, mandatory=True)
    finally:
        connection.close()


def main() -> None:
    """Publish the job that the command line names."""
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    url, kind, args = sys.argv[1:4]
    job = {"kind": kind, "args": json.loads(args), "priority": 0}
    if len(sys.argv) > 4:
        job["idempotency_key"] = sys.argv[4]
    publish(url, json.dumps(job).encode())


if __name__ == "__main__":
    main()
