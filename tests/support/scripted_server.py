"""A server that answers each request with the next bytes of a script, as broken as they are."""

from __future__ import annotations

import socket
import threading
import time


class Stall(float):
    """A pause of so many seconds in the middle of an answer."""


class ScriptedServer:
    """Answers on 127.0.0.1; one entry of the script per connection, in order.

    An entry is a list of bytes and `Stall`s, or a function from the request head to such a list.
    The connection is closed after each entry. `requests` holds the heads that came.
    """

    def __init__(self, script):
        self.script = list(script)
        self.requests = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(0.1)
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def url(self, path="/file.bin"):
        """Give the address of `path` on this server."""
        return f"http://127.0.0.1:{self.port}{path}"

    def ranges(self):
        """Give the Range header of each request; None where there was none."""
        found = []
        for head in self.requests:
            lines = [line for line in head.split("\r\n") if line.lower().startswith("range:")]
            found.append(lines[0].split(":", 1)[1].strip() if lines else None)
        return found

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        # Wakes accept() on every platform.
        self._listener.close()
        self._thread.join(timeout=5)

    def _serve(self):
        while self.script:
            try:
                connection, _ = self._listener.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            with connection:
                self._answer(connection)

    def _answer(self, connection):
        head = b""
        while b"\r\n\r\n" not in head:
            received = connection.recv(65536)
            if not received:
                return
            head += received
        self.requests.append(head.decode("latin-1"))
        entry = self.script.pop(0)
        try:
            for piece in entry(self.requests[-1]) if callable(entry) else entry:
                if isinstance(piece, Stall):
                    time.sleep(piece)
                else:
                    connection.sendall(piece)
        except OSError:
            return


def whole(body, **headers):
    """Answer 200 with `body` and its length."""
    return [_head(200, {"Content-Length": len(body), **headers}), body]


def partial(content, start, end=None, **headers):
    """Answer 206 with `content[start:end]`; its head promises everything from `start`."""
    size = len(content)
    head = {
        "Content-Length": size - start,
        "Content-Range": f"bytes {start}-{size - 1}/{size}",
        **headers,
    }
    return [_head(206, head), content[start:end]]


def cut(body, at, **headers):
    """Answer 200 with the length of `body`, and close after `at` bytes."""
    return [_head(200, {"Content-Length": len(body), **headers}), body[:at]]


def status(code, **headers):
    """Answer `code` without a body."""
    return [_head(code, {"Content-Length": 0, **headers})]


def _head(code, headers):
    lines = [f"HTTP/1.1 {code} X", *(f"{k.replace('_', '-')}: {v}" for k, v in headers.items())]
    return ("\r\n".join([*lines, "Connection: close"]) + "\r\n\r\n").encode()
