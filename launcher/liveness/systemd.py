"""Messages to systemd, which starts `carprice up` as a service of type `notify`."""

import os
import socket
import time

INTERVAL_S = 5.0
"""Time between two signs of life, seconds; the unit allows many times as long."""


class SystemdNotifier:
    """Tells systemd the state of this process; without systemd it does nothing."""

    def __init__(self) -> None:
        # Children must not speak for this process.
        self._address = os.environ.pop("NOTIFY_SOCKET", "")
        self._sent_at = float("-inf")

    def ready(self) -> None:
        """Say that the service is ready."""
        self._send(b"READY=1")

    def alive(self) -> None:
        """Give a sign of life, not more often than needed."""
        now = time.monotonic()
        if now - self._sent_at >= INTERVAL_S:
            self._sent_at = now
            self._send(b"WATCHDOG=1")

    def stopping(self) -> None:
        """Say that the service stops."""
        self._send(b"STOPPING=1\nWATCHDOG=1")

    def _send(self, message: bytes) -> None:
        if not self._address:
            return
        # A leading @ stands for the abstract namespace.
        address = self._address.replace("@", "\0", 1) if self._address[0] == "@" else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.setblocking(False)  # noqa: FBT003 - the call has no keyword
                sender.connect(address)
                sender.send(message)
        except OSError:
            return  # systemd waits for the next one
