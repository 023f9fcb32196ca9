"""RabbitMQ from the system's package, as a private node: own name, own port mapper, own cookie, own data."""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path

from ops.embedded.server import Command, Missing, Server
from ops.embedded.state import write_secret

PACKAGED = Path("/usr/lib/rabbitmq/bin")  # Debian: the wrappers in /usr/sbin change the user, these do not
GREETING = b"AMQP\x00\x00\x09\x01"
CONFIG = """\
listeners.tcp.default = 127.0.0.1:{port}
default_user = sluice
default_pass = {password}
log.console = true
log.console.level = warning
log.file = false
disk_free_limit.absolute = 50MB
vm_memory_high_watermark.relative = 0.4
"""


class Epmd(Server):
    """Erlang's port mapper, one for our node alone: the system's, where there is one, is left in peace."""

    name = "epmd"

    @property
    def port(self) -> int:
        """The loopback port that our node finds it on."""
        return self.state.port("epmd")

    @property
    def url(self) -> str:
        """Not for clients."""
        return f"epmd://127.0.0.1:{self.port}"

    def prepare(self) -> None:
        """Make a folder of its own: the working folder is how it is told from other port mappers."""
        self.data.mkdir(parents=True, exist_ok=True)

    def command(self) -> Command:
        """Run in the foreground, loopback only."""
        found = shutil.which("epmd")
        if found is None:
            raise Missing("no epmd: it belongs to Erlang, which RabbitMQ's package brings")
        return Command((found, "-port", str(self.port), "-address", "127.0.0.1"))

    def answers(self) -> bool:
        """Whether something listens there; that our own process lives is asked separately."""
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        return True


class RabbitMQ(Server):
    """One node on loopback; its user ``sluice`` has a generated password, there is no guest."""

    name = "rabbitmq"
    ready_within_s = 90.0

    def __init__(self, var: Path) -> None:
        """The node and its port mapper start and stop together."""
        super().__init__(var)
        self.epmd = Epmd(var)

    @property
    def url(self) -> str:
        """``amqp://sluice:password@127.0.0.1:port/%2F``."""
        return f"amqp://sluice:{self.state.password('sluice')}@127.0.0.1:{self.state.port('amqp')}/%2F"

    def prepare(self) -> None:
        """Write the settings, then start the port mapper."""
        find_rabbitmq()
        for folder in (self.data / "home", self.data / "mnesia"):
            folder.mkdir(parents=True, exist_ok=True)
        self.data.chmod(0o700)
        settings = CONFIG.format(port=self.state.port("amqp"), password=self.state.password("sluice"))
        write_secret(self.data / "rabbitmq.conf", settings)
        (self.data / "enabled_plugins").write_text("[].\n")
        self.epmd.start()

    def command(self) -> Command:
        """The node, in the foreground."""
        return Command((str(find_rabbitmq() / "rabbitmq-server"),), env=self.environment())

    def environment(self) -> dict[str, str]:
        """What the node and ``rabbitmqctl`` must see to speak of this node and of no other."""
        return {
            "PATH": f"{find_rabbitmq()}:{os.defpath}",
            "HOME": str(self.data / "home"),  # the Erlang cookie is made there
            "LANG": "C.UTF-8",
            "RUNNING_UNDER_SYSTEMD": "1",  # the script becomes the node, so that the pid we hold is the node's
            "ERL_EPMD_PORT": str(self.epmd.port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": "sluice@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.state.port("amqp")),
            "RABBITMQ_DIST_PORT": str(self.state.port("distribution")),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            "RABBITMQ_MNESIA_BASE": str(self.data / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self.log.parent),
            "RABBITMQ_PID_FILE": str(self.data / "pid"),
            "RABBITMQ_CONFIG_FILE": str(self.data / "rabbitmq.conf"),
            "RABBITMQ_CONF_ENV_FILE": str(self.data / "none"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.data / "enabled_plugins"),
        }

    def answers(self) -> bool:
        """Whether a greeting is answered by an AMQP frame (type 1: method)."""
        try:
            with socket.create_connection(("127.0.0.1", self.state.port("amqp")), timeout=2) as link:
                link.sendall(GREETING)
                return link.recv(1) == b"\x01"
        except OSError:
            return False

    def stop(self) -> None:
        """Stop the node, then its port mapper."""
        super().stop()
        self.epmd.stop()


def find_rabbitmq() -> Path:
    """The folder of RabbitMQ's own scripts; raises Missing."""
    if (PACKAGED / "rabbitmq-server").exists():
        return PACKAGED
    found = shutil.which("rabbitmq-server")
    if found is not None and not found.startswith("/usr/sbin/"):
        return Path(found).resolve().parent
    raise Missing(
        "RabbitMQ is not installed: as root, run `python -m ops.embedded.install`, or install your system's"
        " rabbitmq-server package; embedded Redis is the broker that needs nothing more"
    )
