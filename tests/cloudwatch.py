"""CloudWatch Logs on loopback: moto's server behind a door that throttles, fails, hangs or closes when told to."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import boto3
from botocore.config import Config
from moto.logs.models import logs_backends
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import BaseWSGIServer, make_server

_SESSION = boto3.session.Session(aws_access_key_id="nobody", aws_secret_access_key="nothing")
REGION, ACCOUNT = "eu-west-1", "123456789012"
Fault = Literal["throttle", "fail", "refuse", "hang"]

_ANSWERS: dict[str, tuple[str, str]] = {
    "throttle": ("400 Bad Request", "ThrottlingException"),
    "fail": ("503 Service Unavailable", "ServiceUnavailableException"),
    "refuse": ("400 Bad Request", "InvalidParameterException"),
}


@dataclass
class CloudWatch:
    """The server; ``fault`` is what it does to every call from now on."""

    group: str = "/sluice/test/application"
    fault: Fault | None = None
    port: int = 0
    calls: list[str] = field(default_factory=list)
    batches: list[list[dict[str, Any]]] = field(default_factory=list)
    asked: threading.Event = field(default_factory=threading.Event)
    go_on: threading.Event = field(default_factory=threading.Event)
    _moto: Any = None
    _server: BaseWSGIServer | None = None
    _thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """Where it listens, or did before it was closed."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to ship its logs here."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "nobody",
            "AWS_SECRET_ACCESS_KEY": "nothing",
            "AWS_EC2_METADATA_DISABLED": "true",
            "SLUICE_CLOUDWATCH_GROUP": self.group,
        }

    def client(self, *, read_s: float = 30.0) -> Any:
        """Make a client that tries once."""
        return _SESSION.client(
            "logs",
            region_name=REGION,
            endpoint_url=self.url,
            config=Config(connect_timeout=2, read_timeout=read_s, retries={"total_max_attempts": 1}),
        )

    def open(self) -> None:
        """Listen, where it did before if it did."""
        self._moto = self._moto or DomainDispatcherApplication(create_backend_app)
        self._server = make_server("127.0.0.1", self.port, self, threaded=True)
        self.port = self._server.port
        self._thread = threading.Thread(target=partial(self._server.serve_forever, poll_interval=0.02))
        self._thread.start()

    def close(self) -> None:
        """Refuse connections; what is stored stays."""
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()
            self._server = None

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        call = environ.get("HTTP_X_AMZ_TARGET", "").rpartition(".")[2]
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        self.calls.append(call)
        self.asked.set()
        if self.fault == "hang":
            self.go_on.wait(60)
        elif self.fault in _ANSWERS:
            status, code = _ANSWERS[self.fault]
            start_response(status, [("Content-Type", "application/x-amz-json-1.1")])
            return [json.dumps({"__type": code, "message": "as the test wants"}).encode()]
        if call == "PutLogEvents":
            self.batches.append(json.loads(body)["logEvents"])
        environ["wsgi.input"] = _Again(body)
        answer: Iterable[bytes] = self._moto(environ, start_response)
        return answer

    def stored(self) -> list[str]:
        """Every message of every stream, as it came."""
        return [message for messages in self.streams().values() for message in messages]

    def streams(self) -> dict[str, list[str]]:
        """The messages of each stream."""
        group = logs_backends[ACCOUNT][REGION].groups[self.group]
        return {name: [event.message for event in stream.events] for name, stream in group.streams.items()}

    def reset(self) -> None:
        """Forget what was stored, and behave."""
        self.fault = None
        self.go_on.set()
        if self._server is None:
            self.open()
        backend = logs_backends[ACCOUNT][REGION]
        backend.reset()
        backend.create_log_group(self.group, {})
        self.calls, self.batches, self.asked, self.go_on = [], [], threading.Event(), threading.Event()


class _Again:
    """A body that was read already, to be read by another."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def read(self, size: int = -1) -> bytes:
        """Give what is left of it, or so much."""
        taken, self._body = (self._body, b"") if size < 0 else (self._body[:size], self._body[size:])
        return taken


@contextmanager
def cloudwatch() -> Iterator[CloudWatch]:
    """Serve until the block ends."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    cloud = CloudWatch()
    cloud.open()
    try:
        cloud.reset()
        yield cloud
    finally:
        cloud.go_on.set()
        cloud.close()
