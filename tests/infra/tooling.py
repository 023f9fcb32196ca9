"""Terraform for the tests: where it is, or why it is not; a copy of the configuration to work in; its commands.

Terraform and its provider are no Python packages, so nothing here may need them: without either, tests are skipped with
the reason.  ``SLUICE_TERRAFORM_REQUIRED=1`` makes that an error instead (``make test-infra`` does).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

TREE = Path(__file__).parents[2] / "ops" / "terraform"
PROVIDER = Path("registry.terraform.io/hashicorp/aws/5.100.0")
ACCOUNT = "123456789012"  # moto's own
REGION = "eu-west-1"


class Missing(Exception):
    """The message says what is missing and how to get it."""


def mirror() -> Path:
    """Find the folder that holds the provider: what a person names, or where Terraform itself looks."""
    usual = [Path("~/.terraform.d/plugins").expanduser(), *map(Path, ("/usr/local/share/terraform/plugins",))]
    named = os.environ.get("SLUICE_TERRAFORM_MIRROR")
    places = [Path(named)] if named else [*usual, *sorted(Path("/opt").glob("*"))]
    for place in places:
        if (place / PROVIDER).is_dir():
            return place
    raise Missing(
        f"no {PROVIDER} on this machine: run `terraform providers mirror DIR` in ops/terraform/staging "
        "and set SLUICE_TERRAFORM_MIRROR=DIR"
    )


def binary() -> str:
    """Find the program."""
    found = shutil.which("terraform")
    if found is None:
        raise Missing("no terraform on PATH (1.11 or later, below 2)")
    return found


class Failed(AssertionError):
    """Terraform ended with an error; the message is what it printed."""


@dataclass(frozen=True, slots=True)
class Terraform:
    """Terraform in one root of a copy of the configuration, against a stand-in for AWS on loopback."""

    program: str
    root: Path
    endpoint: str
    settings: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse to speak to anything but this machine."""
        assert self.endpoint.startswith("http://127.0.0.1:"), self.endpoint

    def run(self, *arguments: str, codes: tuple[int, ...] = (0,), timeout_s: float = 400) -> tuple[int, str]:
        """Run one command; gives its exit code and what it printed, raises Failed on a code that is not expected."""
        done = subprocess.run(
            [self.program, *arguments],
            cwd=self.root,
            env=self._variables(),
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        if done.returncode not in codes:
            raise Failed(f"terraform {' '.join(arguments)} -> {done.returncode}\n{done.stdout[-6000:]}\n{done.stderr}")
        return done.returncode, done.stdout

    def init(self, *arguments: str) -> None:
        """Install modules, link the provider; the lock file must hold already."""
        self.run("init", "-no-color", "-lockfile=readonly", *arguments)

    def plan(self, *arguments: str) -> dict[str, Any]:
        """Plan, and give the plan as data."""
        self.run("plan", "-no-color", "-out=plan.tfplan", *arguments)
        return self.shown("plan.tfplan")

    def shown(self, plan: str) -> dict[str, Any]:
        """A plan file as data."""
        shown: dict[str, Any] = json.loads(self.run("show", "-json", plan)[1])
        return shown

    def changed(self, *arguments: str) -> dict[str, list[str]]:
        """Plan; give what would be done to which address, without what stays as it is.  Empty: no drift."""
        code, _ = self.run("plan", "-no-color", "-detailed-exitcode", "-out=plan.tfplan", *arguments, codes=(0, 2))
        changes = self.shown("plan.tfplan").get("resource_changes", [])
        wanted = {row["address"]: row["change"]["actions"] for row in changes if row["change"]["actions"] != ["no-op"]}
        assert bool(wanted) == (code == 2), wanted
        return wanted

    def _variables(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.root),
            "TF_CLI_CONFIG_FILE": str(self.settings),
            "TF_INPUT": "0",
            "CHECKPOINT_DISABLE": "1",
            "AWS_ENDPOINT_URL": self.endpoint,
            "TF_VAR_aws_endpoint": self.endpoint,
            "AWS_ACCESS_KEY_ID": "nobody",
            "AWS_SECRET_ACCESS_KEY": "nothing",
            "AWS_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            **self.environment,
        }


def prepared(folder: Path, root: str, endpoint: str) -> Terraform:
    """Copy the configuration to a folder; give Terraform in one of its roots.  Raises Missing."""
    program, plugins = binary(), mirror()
    copy = folder / "terraform"
    if not copy.exists():
        shutil.copytree(TREE, copy, ignore=shutil.ignore_patterns(".terraform", "*.tfstate*", "*_override.tf"))
    settings = folder / "terraform.rc"
    only = f'provider_installation {{\n  filesystem_mirror {{\n    path = "{plugins}"\n  }}\n}}\n'
    settings.write_text(f"{only}disable_checkpoint = true\n")
    return Terraform(program, copy / root, endpoint, settings)


def state_on_disk(root: Path) -> None:
    """Let a root keep its state beside it."""
    (root / "backend_override.tf").write_text('terraform {\n  backend "local" {}\n}\n')


def resources(module: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Every resource of a planned or kept root module, and of the modules in it, by address."""
    found = {row["address"]: row for row in module.get("resources", [])}
    for child in module.get("child_modules", []):
        found |= resources(child)
    return found
