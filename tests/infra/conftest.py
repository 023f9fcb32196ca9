"""The plan of production and the answers of Terraform's own checks, made once, beside each other.

Staging differs in sizes only and is validated here; ``whole_stack.py`` makes it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tests.infra import tooling
from tests.infra.tooling import Missing, Terraform, prepared, resources, state_on_disk

Planned = dict[str, dict[str, Any]]


class SecretsManager(BaseHTTPRequestHandler):
    """The two questions that a first plan asks of AWS: who am I, and a random password."""

    def do_POST(self) -> None:
        """Answer by the shape of the question."""
        self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("X-Amz-Target") == "secretsmanager.GetRandomPassword":
            self._answer("application/x-amz-json-1.1", json.dumps({"RandomPassword": "n0t-in-any-plan" * 3}))
        else:
            self._answer("text/xml", WHO_AM_I)

    def _answer(self, kind: str, text: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


WHO_AM_I = f"""<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>
<Arn>arn:aws:iam::{tooling.ACCOUNT}:user/tests</Arn><UserId>TESTS</UserId><Account>{tooling.ACCOUNT}</Account>
</GetCallerIdentityResult></GetCallerIdentityResponse>"""


def skip(missing: Missing) -> None:
    """Say why, or fail where Terraform must be there."""
    if os.environ.get("SLUICE_TERRAFORM_REQUIRED"):
        pytest.fail(str(missing))
    pytest.skip(str(missing))


class Answers:
    """What Terraform says about the configuration; each question runs in a thread and is asked once."""

    def __init__(self, folder: Path, endpoint: str) -> None:
        """Ask everything at once, on two cores at most."""
        self._folder, self._endpoint = folder, endpoint
        self._pool = ThreadPoolExecutor(max_workers=2)
        self._asked: dict[str, Future[Any]] = {}
        roots = {root: prepared(folder / root, root, endpoint) for root in ("staging", "production", "tests")}
        for root in ("staging", "production"):
            state_on_disk(roots[root].root)
        self._ask("production", planned, roots["production"])
        self._ask("tests", tested, roots["tests"])
        self._ask("staging", validated, roots["staging"])

    def _ask(self, name: str, question: Any, terraform: Terraform) -> None:
        self._asked[name] = self._pool.submit(question, terraform)

    def of(self, name: str) -> Any:
        """Wait for one answer."""
        return self._asked[name].result()

    def close(self) -> None:
        """Wait for all."""
        self._pool.shutdown()


def planned(terraform: Terraform) -> Planned:
    """Initialize and plan one environment, which validates it; gives planned resources by address."""
    terraform.init()
    plan = terraform.plan("-refresh=false", "-var-file=example.tfvars")
    return resources(plan["planned_values"]["root_module"])


def validated(terraform: Terraform) -> str:
    """Initialize and validate one environment."""
    terraform.init()
    return terraform.run("validate", "-no-color")[1]


def tested(terraform: Terraform) -> str:
    """Run Terraform's own tests."""
    terraform.init()
    return terraform.run("test", "-no-color")[1]


@pytest.fixture(scope="session")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Answers]:
    """Terraform's answers, with a stand-in that knows just enough to plan."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), SecretsManager)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        try:
            asked = Answers(tmp_path_factory.mktemp("terraform"), f"http://127.0.0.1:{server.server_port}")
        except Missing as missing:
            skip(missing)
            raise
        yield asked
        asked.close()
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="session")
def plan(answers: Answers) -> Planned:
    """The plan of production."""
    plan: Planned = answers.of("production")
    return plan
