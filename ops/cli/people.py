"""What a person can do something about: said in one line, exit 2.  Everything else is a fault of ours."""

from __future__ import annotations

from dramatiq.middleware import MiddlewareError

from broker.connect import UnknownBrokerError
from broker.limiter import LimiterUnreachable
from broker.producer import BrokerUnreachableError
from gateway.auth.apikeys import BadKey
from gateway.auth.master import WeakSecret
from gateway.auth.users import BadUser
from ledger.engine import LedgerUnreachable
from ops.cli.opening import CannotDo
from ops.embedded import AlreadyRunning, CannotStart
from ops.settings import BadSetting

FOR_PEOPLE = (
    AlreadyRunning,
    BadKey,
    BadSetting,
    BadUser,
    BrokerUnreachableError,
    CannotDo,
    CannotStart,
    LedgerUnreachable,
    LimiterUnreachable,
    MiddlewareError,
    UnknownBrokerError,
    WeakSecret,
)
