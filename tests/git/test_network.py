"""We connect only to allowed addresses, and every connection ends in time."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import ip_network

import pytest

from pipeline.git.errors import AddressRefused, ConnectionFailed, OriginTimeout, UnknownHost
from pipeline.git.network import MOST_ADDRESSES, AddressPolicy, Deadline, Dialer
from pipeline.git.resolver import THREADS, look_up
from tests.support.nobody import nobody

PUBLIC = ["8.8.8.8", "140.82.121.4", "2606:4700::1111", "2a01:4f8::1", "::ffff:8.8.8.8", "64:ff9b::808:808"]
PRIVATE = {
    "this network": "0.0.0.0",
    "loopback": "127.0.0.1",
    "all of loopback": "127.255.0.9",
    "private 10": "10.0.0.1",
    "private 172": "172.31.255.255",
    "private 192": "192.168.1.1",
    "shared": "100.64.0.1",
    "link-local": "169.254.0.1",
    "metadata": "169.254.169.254",
    "documentation": "192.0.2.1",
    "benchmarks": "198.18.0.1",
    "multicast": "224.0.0.1",
    "public multicast": "233.252.1.1",
    "reserved": "240.0.0.1",
    "broadcast": "255.255.255.255",
    "v6 any": "::",
    "v6 loopback": "::1",
    "v6 private": "fd12:3456::1",
    "v6 metadata": "fd00:ec2::254",
    "v6 link-local": "fe80::1",
    "v6 link-local with interface": "fe80::1%eth0",
    "v6 site-local": "fec0::1",
    "v6 multicast": "ff02::1",
    "v6 global multicast": "ff0e::1",
    "v6 documentation": "2001:db8::1",
    "mapped loopback": "::ffff:127.0.0.1",
    "mapped metadata": "::ffff:a9fe:a9fe",
    "compatible loopback": "::127.0.0.1",
    "translated loopback": "64:ff9b::7f00:1",
    "translated metadata": "64:ff9b::a9fe:a9fe",
    "locally translated": "64:ff9b:1::1",
    "6to4 private": "2002:a00:1::1",
    "6to4 loopback": "2002:7f00:1::",
    "teredo": "2001:0:a00:1::1",
    "unassigned": "4000::1",
}


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_permitted(address: str) -> None:
    assert AddressPolicy().permits(address)


@pytest.mark.parametrize("name", PRIVATE)
def test_other_addresses_are_not(name: str) -> None:
    assert not AddressPolicy().permits(PRIVATE[name])


@pytest.mark.parametrize(
    ("network", "inside", "outside"),
    [
        ("127.0.0.0/8", ["127.0.0.1", "::ffff:127.0.0.1", "64:ff9b::7f00:1"], ["10.0.0.1", "::1"]),
        ("10.1.0.0/16", ["10.1.2.3"], ["10.2.0.1"]),
        ("169.254.169.254/32", ["169.254.169.254"], ["169.254.169.253"]),
        ("fd00::/8", ["fd12::1"], ["fc00::1", "fe80::1"]),
        ("::1/128", ["::1"], ["127.0.0.1", "::2"]),
    ],
)
def test_allowed_networks_are_permitted_and_no_others(network: str, inside: list[str], outside: list[str]) -> None:
    policy = AddressPolicy((ip_network(network),))
    assert all(policy.permits(address) for address in inside)
    assert not any(policy.permits(address) for address in outside)
    assert policy.permits("8.8.8.8")


def dialer(deadline: Deadline, *allowed: str, connect_s: float = 5, silence_s: float = 5) -> Dialer:
    policy = AddressPolicy(tuple(ip_network(network) for network in allowed))
    return Dialer(policy, deadline, connect_s, silence_s)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def port_of(server: socket.socket) -> int:
    return int(server.getsockname()[1])


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0x7f000001", "2130706433", "127.1", "[::ffff:127.0.0.1]"])
def test_a_host_is_judged_by_its_address_however_it_is_written(host: str, listener: socket.socket) -> None:
    with Deadline(10) as deadline, pytest.raises(AddressRefused, match="not public"):
        dialer(deadline).connect(host, port_of(listener))


def test_a_name_is_judged_by_what_it_resolves_to_now(monkeypatch: pytest.MonkeyPatch, listener: socket.socket) -> None:
    """A name server that returns a public and a private answer: only the first is ever tried."""
    real, tried = socket.getaddrinfo, []

    def answers(host: str, port: int, *rest: object) -> object:
        return real("10.0.0.1", port, *rest) + real("127.0.0.1", port, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", answers)
    with Deadline(10) as deadline:
        dialing = dialer(deadline, "127.0.0.0/8")
        with dialing.connect("rebound.example", port_of(listener)) as connection:
            tried.append(connection.getpeername()[0])
    assert tried == ["127.0.0.1"]


def test_a_refused_connection(listener: socket.socket) -> None:
    with (
        nobody() as peer,
        Deadline(10) as deadline,
        pytest.raises(ConnectionFailed) as caught,
    ):
        dialer(deadline, "127.0.0.0/8").connect("127.0.0.1", peer.port)
    assert caught.value.why == f"cannot connect to 127.0.0.1:{peer.port} (Connection refused)"


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a" * 80 + ".example", "..", "bad\0host"])
def test_an_unknown_host(host: str) -> None:
    with Deadline(60) as deadline, pytest.raises(UnknownHost, match="does not resolve"):
        dialer(deadline, connect_s=30).connect(host, 9418)


class Resolver:
    """Answers nothing until it may, and counts the waiting look-ups."""

    def __init__(self) -> None:
        self.let_go, self.asked = threading.Event(), 0

    def __call__(self, host: str, *rest: object) -> list[object]:
        self.asked += 1
        self.let_go.wait(60)
        return []


@pytest.fixture
def dead_resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Resolver]:
    resolver = Resolver()
    monkeypatch.setattr(socket, "getaddrinfo", resolver)
    yield resolver
    resolver.let_go.set()
    for thread in threading.enumerate():
        if thread.name == "look-up":
            thread.join(10)


def test_a_resolver_that_never_answers_is_a_timeout(dead_resolver: Resolver) -> None:
    with Deadline(10) as deadline, pytest.raises(OriginTimeout, match=r"not resolved within 0\.1 s"):
        dialer(deadline, connect_s=0.1).connect("slow.example", 9418)


def test_the_visits_deadline_holds_for_names_too(dead_resolver: Resolver) -> None:
    with Deadline(0.1) as deadline, pytest.raises(OriginTimeout, match=r"longer than its limit of 0\.1 s"):
        dialer(deadline, connect_s=60).connect("slow.example", 9418)


def test_a_dead_resolver_holds_a_bounded_number_of_threads(dead_resolver: Resolver) -> None:
    before = threading.active_count()
    with Deadline(60) as deadline:
        dialing = dialer(deadline, connect_s=0.001)
        for number in range(THREADS + 20):
            with pytest.raises(OriginTimeout, match="not resolved"):
                dialing.connect(f"slow-{number}.example", 9418)
    assert dead_resolver.asked <= THREADS
    assert threading.active_count() <= before + THREADS + 1  # and the deadline's timer


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "LocalHost.", "a.localhost", "127.1", "[::1]", "2130706433"]
)
def test_addresses_and_localhost_need_no_resolver(
    host: str, dead_resolver: Resolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_thread(*_: object) -> None:
        raise AssertionError("a thread was started")

    monkeypatch.setattr("pipeline.git.resolver._LookUp", no_thread)
    assert look_up(host.strip("[]"), 1, 0)
    assert dead_resolver.asked == 0


def test_of_very_many_addresses_a_few_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    real, tried = socket.socket.connect, []

    def many(host: str, port: int, *rest: object) -> object:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (f"127.0.1.{n}", port)) for n in range(1, 200)]

    def connect(self: socket.socket, address: tuple[str, int]) -> None:
        tried.append(address[0])
        real(self, address)

    monkeypatch.setattr(socket, "getaddrinfo", many)
    monkeypatch.setattr(socket.socket, "connect", connect)
    with nobody() as peer, Deadline(10) as deadline, pytest.raises(ConnectionFailed):
        dialer(deadline, "127.0.0.0/8").connect("many.example", peer.port)
    assert tried == [f"127.0.1.{n}" for n in range(1, MOST_ADDRESSES + 1)]


def test_a_host_of_any_length_makes_a_short_sentence() -> None:
    with Deadline(10) as deadline, pytest.raises(UnknownHost) as caught:
        dialer(deadline).connect("a" * 60_000, 9418)
    assert len(str(caught.value)) < 300


def test_a_server_that_does_not_accept() -> None:
    """Its backlog is full, so the kernel answers nothing."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        waiting = [socket.socket() for _ in range(8)]
        try:
            for connection in waiting:
                connection.setblocking(False)
                connection.connect_ex(server.getsockname())
            with Deadline(10) as deadline, pytest.raises(OriginTimeout, match=r"did not accept within 0\.2 s"):
                dialer(deadline, "127.0.0.0/8", connect_s=0.2).connect("127.0.0.1", port_of(server))
        finally:
            for connection in waiting:
                connection.close()


def test_silence_ends_a_read(listener: socket.socket) -> None:
    with Deadline(10) as deadline:
        dialing = dialer(deadline, "127.0.0.0/8", silence_s=0.1)
        with dialing.connect("127.0.0.1", port_of(listener)) as connection, pytest.raises(TimeoutError):
            connection.recv(1)


def test_the_deadline_ends_a_read_that_is_never_silent(listener: socket.socket) -> None:
    ended = threading.Event()
    with Deadline(2) as deadline:
        connection = dialer(deadline, "127.0.0.0/8").connect("127.0.0.1", port_of(listener))
        peer, _ = listener.accept()

        def trickle() -> None:
            with suppress(OSError):  # the deadline has shut it down
                while not ended.wait(0.01):
                    peer.send(b"x")

        sending = threading.Thread(target=trickle)
        with connection, peer:
            sending.start()
            try:
                with suppress(ConnectionResetError):  # a byte that arrives after the end resets the connection
                    while connection.recv(1):
                        pass
            finally:
                ended.set()
                sending.join()
        assert deadline.passed
        with pytest.raises(OriginTimeout, match=r"longer than its limit of 2 s"):
            deadline.check()
        with pytest.raises(OriginTimeout):
            dialer(deadline, "127.0.0.0/8").connect("127.0.0.1", port_of(listener))


def test_a_paused_deadline_does_not_pass_and_goes_on_afterwards(listener: socket.socket) -> None:
    with Deadline(2) as deadline:
        with deadline.paused():
            threading.Event().wait(2.2)
        deadline.check()
        connection = dialer(deadline, "127.0.0.0/8").connect("127.0.0.1", port_of(listener))
        with connection:
            assert connection.recv(1) == b"", "shut down by the deadline, since nobody sends"
        assert deadline.passed


def test_hanging_up_closes_what_was_watched(listener: socket.socket) -> None:
    with Deadline(10) as deadline:
        dialer(deadline, "127.0.0.0/8").connect("127.0.0.1", port_of(listener)).close()
        peer, _ = listener.accept()
        deadline.hang_up()
        with peer:
            peer.settimeout(5)
            assert peer.recv(1) == b""
