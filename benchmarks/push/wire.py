"""A TCP proxy that counts what clients send, as a process of its own: `python -m benchmarks.push.wire HOST:PORT`.

Prints its port, then the count so far for every line that it reads.
"""

from __future__ import annotations

import socket
import sys
import threading

PIECE = 1024 * 1024
sent: list[int] = []


def carry(source: socket.socket, target: socket.socket, counted: list[int] | None) -> None:
    buffer = memoryview(bytearray(PIECE))
    try:
        while size := source.recv_into(buffer):
            target.sendall(buffer[:size])
            if counted is not None:
                counted.append(size)
    except OSError:
        pass
    for end in (source, target):
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            continue


def serve(listener: socket.socket, host: str, port: int) -> None:
    while True:
        client, _ = listener.accept()
        server = socket.create_connection((host, port))
        for one in (client, server):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=carry, args=(client, server, sent), daemon=True).start()
        threading.Thread(target=carry, args=(server, client, None), daemon=True).start()


def main() -> None:
    host, _, port = sys.argv[1].partition(":")
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)
    threading.Thread(target=serve, args=(listener, host, int(port)), daemon=True).start()
    print(listener.getsockname()[1], flush=True)
    for _ in sys.stdin:
        print(sum(sent), flush=True)


if __name__ == "__main__":
    main()
