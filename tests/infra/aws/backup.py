"""AWS Backup: what a plan selects; tags asked for without a slash at the end."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import unquote
from uuid import uuid4

from moto.backup.exceptions import ResourceNotFoundException
from moto.backup.responses import BackupResponse as Response

from tests.infra.aws.gaps import Action, Shelf, add, wrap

SELECTIONS = Shelf()
MADE_AT = 1_700_000_000


def place(self: Response) -> tuple[str, str]:
    """Plan and selection, from ``/backup/plans/<plan>/selections/<selection>``."""
    plan, _, selection = self.path.split("/plans/")[1].rstrip("/").partition("/selections")
    return plan, selection.lstrip("/")


@add(Response)
def create_backup_selection(self: Response) -> str:
    plan, _ = place(self)
    identity = str(uuid4())
    SELECTIONS.of(self)[identity] = self._get_param("BackupSelection")
    return json.dumps({"SelectionId": identity, "BackupPlanId": plan, "CreationDate": MADE_AT})


@add(Response)
def get_backup_selection(self: Response) -> str:
    plan, identity = place(self)
    if identity not in SELECTIONS.of(self):
        raise ResourceNotFoundException(msg=f"no selection {identity}")
    chosen = SELECTIONS.of(self)[identity]
    answer = {"BackupSelection": chosen, "SelectionId": identity, "BackupPlanId": plan, "CreationDate": MADE_AT}
    return json.dumps(answer)


@add(Response)
def delete_backup_selection(self: Response) -> str:
    SELECTIONS.of(self).pop(place(self)[1], None)
    return "{}"


@wrap(Response)
def list_tags(self: Any, own: Action) -> Any:
    arn = unquote(self.path.rstrip("/").split("/tags/")[1])
    return json.dumps({"Tags": self.backup_backend.list_tags(resource_arn=arn)})
