"""A stand-in for CryptoPanic, NewsCatcher and Nansen on loopback: invented or recorded answers, faults on demand."""

from ops.sandbox.config import Allowance, SandboxConfig
from ops.sandbox.faults import Fault, parse_fault
from ops.sandbox.server import SandboxServer, make_sandbox, running_sandbox

__all__ = ["Allowance", "Fault", "SandboxConfig", "SandboxServer", "make_sandbox", "parse_fault", "running_sandbox"]
