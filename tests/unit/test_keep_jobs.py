"""What becomes of a message whose actor failed, by queue and by why."""

from __future__ import annotations

from typing import Any

import pytest
from dramatiq import Message, MessageProxy
from dramatiq.brokers.stub import StubBroker
from psycopg import errors
from sqlalchemy.exc import IntegrityError, OperationalError

from broker.messages import DEDUP, JOBS
from broker.producer import BrokerUnreachableError
from ops.engine.hand import Delivery
from ops.worker import KeepJobs

AWAY = (
    OperationalError("INSERT", None, errors.AdminShutdown("it goes down")),
    BrokerUnreachableError("it takes nothing"),
    TimeoutError(),
)
BAD = (IntegrityError("INSERT", None, errors.CheckViolation("it does not fit")), ValueError("no"))


class Source:
    """A queue that notes nothing."""

    queue = JOBS

    def end(self, delivery: Delivery) -> None:
        raise AssertionError(f"nobody ends {delivery} here")


def failed(message: MessageProxy, error: Exception) -> tuple[bool, bool]:
    """Say whether it goes back to its queue, and whether to the dead letters."""
    KeepJobs().after_process_message(StubBroker(), message, exception=error)
    return getattr(message, "requeue", False), message.failed


def message(queue: str) -> Message[Any]:
    return Message(queue, queue, args=(), kwargs={}, options={})


@pytest.mark.parametrize("error", AWAY, ids=lambda error: type(error).__name__)
def test_a_job_that_met_no_server_goes_back_where_the_engine_can_do_that(error: Exception) -> None:
    assert failed(Delivery(message(JOBS), 1, Source()), error) == (True, False)
    assert failed(MessageProxy(message(JOBS)), error) == (False, True)


@pytest.mark.parametrize("error", BAD, ids=lambda error: type(error).__name__)
def test_a_job_that_will_never_do_goes_to_the_dead_letters(error: Exception) -> None:
    assert failed(Delivery(message(JOBS), 1, Source()), error) == (False, True)


@pytest.mark.parametrize("error", [*AWAY, *BAD], ids=lambda error: type(error).__name__)
def test_a_hint_whose_actor_failed_is_done_with(error: Exception) -> None:
    assert failed(Delivery(message(DEDUP), 1, Source()), error) == (False, False)
