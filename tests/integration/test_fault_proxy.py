"""The fault proxy does what it is told; else the tests that rely on it would prove nothing."""

import socket
import threading
import time

import pytest

from fault_proxy import FaultProxy


@pytest.fixture
def echo():
    """A server that sends back what it gets."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(connection):
        with connection:
            while data := connection.recv(65536):
                connection.sendall(data)

    def accept():
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    yield listener.getsockname()
    listener.close()


@pytest.fixture
def proxy(echo):
    with FaultProxy(echo) as proxy:
        yield proxy


def connect(proxy):
    connection = socket.create_connection(("127.0.0.1", proxy.port))
    connection.settimeout(30)
    return connection


def ask(connection, data):
    connection.sendall(data)
    return connection.recv(65536)


def test_passes_everything_on(proxy):
    with connect(proxy) as connection:
        assert ask(connection, b"hello") == b"hello"


def test_delays_both_ways(proxy):
    with connect(proxy) as connection:
        proxy.delay(0.1)
        begin = time.monotonic()
        assert ask(connection, b"hello") == b"hello"
        assert time.monotonic() - begin >= 0.2
        proxy.heal()
        assert ask(connection, b"again") == b"again"


def test_stalls_and_goes_on(proxy):
    with connect(proxy) as connection:
        assert ask(connection, b"one") == b"one"
        proxy.stall()
        connection.sendall(b"two")
        connection.settimeout(0.2)
        with pytest.raises(TimeoutError):
            connection.recv(10)
        connection.settimeout(30)
        proxy.heal()
        assert connection.recv(10) == b"two"


def test_cuts_in_the_middle(proxy):
    with connect(proxy) as connection:
        proxy.cut(3)
        assert ask(connection, b"hello") == b"hel"
        assert connection.recv(10) == b""


def test_resets(proxy):
    with connect(proxy) as connection:
        proxy.cut(0, reset=True)
        with pytest.raises(ConnectionResetError):
            ask(connection, b"hello")


def test_answers_garbage_once(proxy):
    with connect(proxy) as connection:
        proxy.garbage(b"\0\1")
        assert ask(connection, b"hello") == b"\0\1"
        assert ask(connection, b"hello") == b"hello"


def test_puts_bytes_before_a_reply(proxy):
    with connect(proxy) as connection:
        proxy.before(b"x")
        assert ask(connection, b"hello") == b"xhello"


def test_refuses_then_accepts_on_the_same_port(proxy):
    with connect(proxy) as connection:
        assert ask(connection, b"hello") == b"hello"
        proxy.refuse()
        assert connection.recv(10) == b""
    with pytest.raises(ConnectionRefusedError):
        connect(proxy)
    proxy.heal()
    with connect(proxy) as connection:
        assert ask(connection, b"hello") == b"hello"
