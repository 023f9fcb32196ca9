"""Application Auto Scaling: tags of targets."""

from __future__ import annotations

import json
from typing import Any

from moto.applicationautoscaling.responses import ApplicationAutoScalingResponse as Response

from tests.infra.aws.gaps import Action, Shelf, add, wrap

TAGS = Shelf()


@add(Response)
def list_tags_for_resource(self: Response) -> str:
    return json.dumps({"Tags": TAGS.of(self).get(self._get_param("ResourceARN"), {})})


@add(Response)
def tag_resource(self: Response) -> str:
    TAGS.of(self).setdefault(self._get_param("ResourceARN"), {}).update(self._get_param("Tags") or {})
    return "{}"


@add(Response)
def untag_resource(self: Response) -> str:
    tags = TAGS.of(self).get(self._get_param("ResourceARN"), {})
    for key in self._get_param("TagKeys") or []:
        tags.pop(key, None)
    return "{}"


@wrap(Response)
def register_scalable_target(self: Any, own: Action) -> Any:
    answer = own(self)
    if tags := self._get_param("Tags"):
        TAGS.of(self).setdefault(json.loads(answer)["ScalableTargetARN"], {}).update(tags)
    return answer
