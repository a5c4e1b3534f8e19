"""An HTTP proxy in front of a server that does to chosen answers what networks and servers do to them."""

from __future__ import annotations

import http.client
import itertools
import os
import random
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

ALL_METHODS = ("GET", "PUT", "POST", "PATCH", "DELETE")
LATE_SECONDS = 0.3
HOP_BY_HOP = {"connection", "transfer-encoding", "content-length", "date", "server"}


@dataclass
class Answer:
    """What the server behind said, and what is passed on."""

    status: int
    headers: dict[str, str]
    body: bytes


class Handler(BaseHTTPRequestHandler):
    """Passes requests on; the proxy's ``fault`` may answer instead, change the answer, or spoil the connection."""

    protocol_version = "HTTP/1.1"
    proxy: FaultyProxy

    def handle_one_request(self) -> None:
        with suppress(ConnectionError):
            super().handle_one_request()

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        fault = self.proxy.next_fault(self.command, self.path)
        if fault is None:
            self.send(self.forward(body))
        else:
            fault(self, body)

    do_GET = do_PUT = do_POST = do_PATCH = do_HEAD = do_DELETE = answer  # noqa: N815

    def forward(self, body: bytes) -> Answer:
        """Ask the server behind. The Host stays the proxy's: it is part of the signature."""
        connection = http.client.HTTPConnection("127.0.0.1", self.proxy.behind, timeout=30)
        try:
            connection.request(self.command, self.path, body, dict(self.headers.items()))
            response = connection.getresponse()
            return Answer(response.status, dict(response.getheaders()), response.read())
        finally:
            connection.close()

    def send(self, answer: Answer, *, length: int | None = None) -> None:
        """Pass an answer on, with a Content-Length of ``length`` where that is to be a lie."""
        self.send_headers(answer, length)
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    def send_headers(self, answer: Answer, length: int | None = None) -> None:
        self.send_response_only(answer.status)
        for name, value in answer.headers.items():
            if name.lower() not in HOP_BY_HOP:
                self.send_header(name, value)
        own = answer.headers.get("Content-Length", "0") if self.command == "HEAD" else len(answer.body)
        self.send_header("Content-Length", str(own if length is None else length))
        self.end_headers()

    def hang_up(self) -> None:
        self.close_connection = True
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


Fault = Callable[[Handler, bytes], None]


@dataclass
class FaultyProxy:
    """The proxy's settings and what it saw.

    Args:
        behind: port of the server on loopback.
    """

    behind: int
    endpoint: str = ""
    requests: list[str] = field(default_factory=list)
    fault: Fault | None = None
    times: int = 0
    methods: tuple[str, ...] = ()
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def spoil(self, fault: Fault, *, times: int = 10**9, methods: tuple[str, ...] = ("GET", "PUT", "POST")) -> None:
        """Let the next ``times`` requests of these methods meet a fault; forget what was seen."""
        with self._lock:
            self.fault, self.times, self.methods = fault, times, methods
            self.requests.clear()

    def heal(self) -> None:
        """No faults from now on."""
        self.spoil(lambda handler, body: handler.send(handler.forward(body)), times=0)

    def next_fault(self, method: str, path: str) -> Fault | None:
        with self._lock:
            self.requests.append(f"{method} {path}")
            if self.times <= 0 or method not in self.methods:
                return None
            self.times -= 1
            return self.fault


@contextmanager
def faulty_proxy(endpoint: str) -> Iterator[FaultyProxy]:
    """A proxy in front of the server at ``endpoint``; healthy until told otherwise."""
    proxy = FaultyProxy(behind=urlsplit(endpoint).port or 80)
    handler = type("OneProxysHandler", (Handler,), {"proxy": proxy})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    server.block_on_close = False
    proxy.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


# --- faults -----------------------------------------------------------------------------------


def error(status: int, code: str) -> Fault:
    """An answer of S3 that says no."""

    def fault(handler: Handler, _body: bytes) -> None:
        handler.send(Answer(status, {"Content-Type": "application/xml"}, error_body(code)))

    return fault


def error_body(code: str) -> bytes:
    return f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>no</Message></Error>".encode()


def page(status: int) -> Fault:
    """A web page where an answer of S3 should be."""

    def fault(handler: Handler, _body: bytes) -> None:
        handler.send(Answer(status, {"Content-Type": "text/html"}, b"<!doctype html><html><h1>Please log in</h1>"))

    return fault


def hang_up(handler: Handler, _body: bytes) -> None:
    """The connection is reset before the request reaches the server."""
    handler.hang_up()


def lose_the_answer(handler: Handler, body: bytes) -> None:
    """The server does its work and its answer is lost."""
    handler.forward(body)
    handler.hang_up()


def cut_short(handler: Handler, body: bytes) -> None:
    """The answer's body breaks off in the middle."""
    answer = handler.forward(body)
    handler.send_headers(answer, len(answer.body))
    handler.wfile.write(answer.body[: len(answer.body) // 2])
    handler.wfile.flush()
    handler.hang_up()


def flip(handler: Handler, body: bytes) -> None:
    """One bit of the body changes on the way."""
    answer = handler.forward(body)
    middle = len(answer.body) // 2
    changed = bytes([answer.body[middle] ^ 1]) if answer.body else b""
    handler.send(Answer(answer.status, answer.headers, answer.body[:middle] + changed + answer.body[middle + 1 :]))


def flip_request(handler: Handler, body: bytes) -> None:
    """One bit of what is sent changes on the way."""
    handler.send(handler.forward(bytes([body[0] ^ 1]) + body[1:] if body else body))


def trickle_body(handler: Handler, body: bytes) -> None:
    """The body comes a byte at a time."""
    answer = handler.forward(body)
    handler.send_headers(answer, len(answer.body))
    with suppress(OSError):
        for each in answer.body:
            handler.wfile.write(bytes([each]))
            handler.wfile.flush()
            time.sleep(0.1)
    handler.close_connection = True


def trickle_headers(handler: Handler, _body: bytes) -> None:
    """Not even the headers come at once."""
    with suppress(OSError):
        for each in b"HTTP/1.1 200 OK\r\nx-slow: " + b"a" * 600:
            handler.wfile.write(bytes([each]))
            handler.wfile.flush()
            time.sleep(0.1)
    handler.close_connection = True


def say_nothing(handler: Handler, _body: bytes) -> None:
    """The server takes the request and is silent."""
    time.sleep(3)
    handler.hang_up()


def endless_list(handler: Handler, _body: bytes) -> None:
    """A listing that says it goes on and doesn't say where."""
    body = b"<ListBucketResult><KeyCount>0</KeyCount><IsTruncated>true</IsTruncated></ListBucketResult>"
    handler.send(Answer(200, {"Content-Type": "application/xml"}, body))


def error_inside(handler: Handler, _body: bytes) -> None:
    """200, and an error in the body."""
    handler.send(Answer(200, {"Content-Type": "application/xml"}, error_body("InternalError")))


def unreliable(seed: int, *, lost: float, late: float, twice: float) -> Fault:
    """A network on which every request arrives: of the answers some are lost, requests come late or twice in a row.

    Args:
        seed: of the draws; which request meets which draw is up to the racers.
        lost: share of requests whose answer is lost after the server did its work.
        late: share of requests that are held back for up to :data:`LATE_SECONDS`.
        twice: share of requests that the server gets twice; the first answer is passed on.
    """
    draws, lock = random.Random(seed), threading.Lock()

    def fault(handler: Handler, body: bytes) -> None:
        with lock:
            draw, wait = draws.random(), draws.random() * LATE_SECONDS
        if draw < lost:
            lose_the_answer(handler, body)
            return
        if draw < lost + late:
            time.sleep(wait)
        answer = handler.forward(body)
        if lost + late <= draw < lost + late + twice:
            handler.forward(body)
        handler.send(answer)

    return fault


def kill_at(step: int, pid: int, *, done: bool) -> Fault:
    """The process ``pid`` is killed at its request number ``step``, counted from 1.

    Args:
        step: which request.
        pid: of the process that sends them.
        done: whether the server gets that request before; the answer is lost then.
    """
    numbers = itertools.count(1)

    def fault(handler: Handler, body: bytes) -> None:
        number = next(numbers)
        if number < step:
            handler.send(handler.forward(body))
            return
        if number == step:
            if done:
                handler.forward(body)
            os.kill(pid, signal.SIGKILL)
        handler.hang_up()

    return fault
