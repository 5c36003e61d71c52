"""supervisord, by its XML-RPC interface over a Unix socket; its failures become liftlock's.

Source: Supervisor 4.3, "XML-RPC API Documentation".
"""

from __future__ import annotations

import http.client
import socket
import xmlrpc.client
from typing import Any

import anyio
from anyio import to_thread

from liftlock.changes import may_begin
from liftlock.errors import AnswerLost, Unreachable, VendorRefusal

VENDOR = "supervisord"
TIME_LIMIT_S = 60.0
LOOK_S = 0.05
_LONGEST_LOG = 4000
_STILL_RUNNING = "91"


class Server:
    """One supervisord. Every call is a connection of its own: a socket on this machine costs nothing."""

    def __init__(self, path: str) -> None:
        self.path = path

    async def processes(self, group: str) -> list[dict[str, Any]]:
        """The processes of a group as they stand now; none where there is no such group."""
        told = await self.call("getAllProcessInfo")
        return sorted((one for one in told if one["group"] == group), key=lambda one: str(one["name"]))

    async def load(self, group: str, *, is_wanted: bool) -> None:
        """Read the configuration again, end what runs of a group, and run it as it is written now."""
        await self._change("reloadConfig")
        if await self.processes(group):
            await self._change("stopProcessGroup", group, False)
            await self._remove(group)
        if is_wanted:
            await self._change("addProcessGroup", group)

    async def _remove(self, group: str) -> None:
        """Asking again and again: a call that waits is answered a second late, at supervisord's next tick."""
        while True:
            try:
                await self._change("removeProcessGroup", group)
            except VendorRefusal as refusal:
                if refusal.code != _STILL_RUNNING:
                    raise
                await anyio.sleep(LOOK_S)
            else:
                return

    async def log(self, process: dict[str, Any]) -> str:
        """The end of what a process wrote; "" where nobody kept it."""
        try:
            name = f"{process['group']}:{process['name']}"
            return str(await self.call("readProcessStdoutLog", name, -_LONGEST_LOG, 0))
        except VendorRefusal:
            return ""

    async def _change(self, method: str, *arguments: object) -> None:
        """Call a method that changes something, while the lease is sure to last as long."""
        await may_begin(TIME_LIMIT_S)
        await self.call(method, *arguments)

    async def call(self, method: str, *arguments: object) -> Any:
        """Call `supervisor.METHOD`, in a thread."""
        return await to_thread.run_sync(self._call, f"supervisor.{method}", arguments, abandon_on_cancel=True)

    def _call(self, method: str, arguments: tuple[object, ...]) -> Any:
        transport = _Transport(self.path)
        try:
            with xmlrpc.client.ServerProxy("http://localhost", transport=transport) as proxy:
                return getattr(proxy, method)(*arguments)
        except (FileNotFoundError, ConnectionRefusedError, PermissionError) as error:
            raise Unreachable(
                f"supervisord does not answer at {self.path}: {error.strerror}.",
                vendor=VENDOR,
                method=method,
                address=self.path,
                hint="Is it running, and may this account use its socket? See [unix_http_server] of its configuration.",
            ) from error
        except xmlrpc.client.Fault as fault:
            raise VendorRefusal(
                f"supervisord refused {method}: {fault.faultString}.",
                vendor=VENDOR,
                method=method,
                address=self.path,
                code=str(fault.faultCode),
                hint="See its own log: supervisorctl maintail",
            ) from fault
        except (OSError, http.client.HTTPException, xmlrpc.client.Error) as error:
            raise AnswerLost(
                f"supervisord's answer to {method} was lost: {error}.",
                vendor=VENDOR,
                method=method,
                address=self.path,
                hint="See what runs with: supervisorctl status",
            ) from error


class _Transport(xmlrpc.client.Transport):
    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        connection = _Connection(self._path)
        self._connection = host, connection  # closed with the proxy
        return connection


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=TIME_LIMIT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)
