"""Serve until told to stop; the first line printed is the address."""

from __future__ import annotations

import logging

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

from tests.infra.aws import autoscaling, backup, cloudformation, ec2, ecs, elasticache, rds, s3

GAPS = (autoscaling, backup, cloudformation, ec2, ecs, elasticache, rds, s3)


def main() -> None:
    """Listen on a free port of loopback."""
    assert GAPS
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = make_server("127.0.0.1", 0, DomainDispatcherApplication(create_backend_app), threaded=True)
    print(f"http://127.0.0.1:{server.port}", flush=True)  # noqa: T201  whoever started this reads it
    server.serve_forever()


if __name__ == "__main__":
    main()
