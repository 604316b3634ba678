"""URLs are fetched from public addresses only, within size and time, by the address that was checked."""

from __future__ import annotations

import ipaddress
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from dragonfly.imaging import ImagePolicy, fetch, load_image
from tests.imaging.images import encoded, rgb

IMAGE = encoded(rgb(), "PNG")
PUBLIC = ImagePolicy(urls="public", timeout=30.0)


class _Handler(BaseHTTPRequestHandler):
    released = threading.Event()

    def do_GET(self) -> None:
        port = self.headers["Host"].rpartition(":")[2]
        redirects = {
            "/moved": "/image.png",
            "/loop": "/loop",
            "/inside": f"http://127.0.0.2:{port}/image.png",
            "/disk": "file:///etc/passwd",
        }
        if self.path in redirects:
            self._answer(302, b"", Location=redirects[self.path])
        elif self.path.startswith("/image"):
            self._answer(200, IMAGE, Content_Length=str(len(IMAGE)))
        elif self.path == "/unmeasured":
            self._answer(200, IMAGE)
        elif self.path == "/short":
            self._answer(200, IMAGE[:50], Content_Length=str(len(IMAGE)))
        elif self.path == "/dripping":  # every byte would start a mere socket timeout anew
            self._answer(200, b"", Content_Length="1000")
            with suppress(OSError):  # the client has left
                for _ in range(500):
                    self.released.wait(0.02)
                    self.wfile.write(b"x")
        else:
            self._answer(404, b"")

    def _answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{http.server_address[1]}"
        _Handler.released.set()
        http.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def nothing_leaves_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test of addresses may dial or look up anything outside: neither by a fault of ours nor of a test."""
    connect, getaddrinfo = socket.socket.connect, socket.getaddrinfo

    def guarded_connect(self: socket.socket, address: Any) -> None:
        assert ipaddress.ip_address(address[0]).is_loopback, address
        connect(self, address)

    def guarded_lookup(host: str, *arguments: Any, **options: Any) -> list[Any]:
        assert re.fullmatch(r"localhost|[0-9a-fx.:]+", host), host
        return getaddrinfo(host, *arguments, **options)

    monkeypatch.setattr(socket.socket, "connect", guarded_connect)
    monkeypatch.setattr(socket, "getaddrinfo", guarded_lookup)


@pytest.fixture
def here_is_public(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "is_public_address", lambda address: address == "127.0.0.1")


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "fe80::1%eth0",
        "fd00::1",
        "ff02::1",
        "2001:db8::1",
        "::ffff:10.0.0.1",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "2001:0:0:0:0:0:80ff:fffe",
        "192.88.99.1",
        "192.0.0.8",
        "198.18.0.1",
        "fec0::1",
        "3fff::1",
        "5f00::1",
        "100::1",
        "64:ff9b::a01:203",
        "64:ff9b::808:808",
        "64:ff9b:1::808:808",
        "2002:a01:203::1",
        "2001:0:4136:e378:8000:63bf:f5fe:fdfc",
        "2606:4700::5efe:10.1.2.3",
        "2606:4700::200:5efe:8.8.8.8",
        "::ffff:0:10.0.0.1",
        "::10.0.0.1",
    ],
)
def test_addresses_that_are_not_public(address: str) -> None:
    assert not fetch.is_public_address(address)


@pytest.mark.parametrize(
    "address", ["93.184.216.34", "8.8.8.8", "2606:4700:4700::1111", "2001:4860:4860::8888", "2a00:1450:4001:82b::200e"]
)
def test_addresses_that_are_public(address: str) -> None:
    assert fetch.is_public_address(address)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "2130706433", "0x7f.1", "169.254.169.254"])
def test_private_hosts_are_refused_however_they_are_written(host: str) -> None:
    with pytest.raises(ValueError, match=r"^http://.* (leads to an address that is not public|names a host that cannot)"):
        load_image(f"http://{host}/image.png", PUBLIC)


def test_the_refusal_does_not_tell_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [(2, 1, 6, "", ("10.9.8.7", 80))])
    with pytest.raises(ValueError, match=r"^http://intranet/a\.png leads to an address that is not public") as error:
        load_image("http://intranet/a.png", PUBLIC)
    assert "10.9.8.7" not in str(error.value)


def test_one_private_address_among_public_ones_is_enough_to_refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [(2, 1, 6, "", ("8.8.8.8", 80)), (2, 1, 6, "", ("127.0.0.1", 80))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    with pytest.raises(ValueError, match="not public"):
        load_image("http://mixed.example/a.png", PUBLIC)


def test_a_name_that_changes_its_address_gains_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = ["8.8.8.8", "127.0.0.1", "127.0.0.1"]
    dialled: list[tuple[str, int]] = []

    def resolve(*_: Any, **__: Any) -> list[Any]:
        return [(2, 1, 6, "", (answers.pop(0), 80))]

    def connect(address: tuple[str, int], **_: Any) -> socket.socket:
        dialled.append(address)
        raise ConnectionRefusedError("nobody there")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr(socket, "create_connection", connect)
    with pytest.raises(ValueError, match=r"cannot be fetched \(nobody there\); download it and give the path"):
        load_image("https://rebinding.example/a.png", PUBLIC)
    assert dialled == [("8.8.8.8", 443)]
    assert len(answers) == 2  # asked once


@pytest.mark.usefixtures("here_is_public")
@pytest.mark.parametrize("path", ["/image.png", "/unmeasured", "/moved", "/image with space.png?size=ä"])
def test_an_image_is_fetched(server: str, path: str) -> None:
    image = load_image(server + path, PUBLIC)
    assert image.image.tobytes() == rgb().tobytes()
    assert image.sha256 == load_image(IMAGE).sha256
    assert image.source == f"http://127.0.0.1{path.partition('?')[0]}"


@pytest.mark.usefixtures("here_is_public")
@pytest.mark.parametrize(
    ("path", "fault"),
    [
        ("/inside", "leads to an address that is not public"),
        ("/disk", "leads to a file: URL; only http and https are fetched"),
        ("/loop", "redirects more than 5 times"),
        ("/short", r"broke off after 50 of \d+ bytes; try again"),
        ("/absent", "answered with HTTP status 404; check the address"),
    ],
)
def test_answers_that_are_refused(server: str, path: str, fault: str) -> None:
    with pytest.raises(ValueError, match=rf"^http://127\.0\.0\.1{path} {fault}"):
        load_image(server + path, PUBLIC)


@pytest.mark.usefixtures("here_is_public")
@pytest.mark.parametrize("path", ["/image.png", "/unmeasured"])
def test_size_is_limited_with_and_without_an_announced_length(server: str, path: str) -> None:
    with pytest.raises(ValueError, match="has more than 100 bytes, the limit; make it smaller"):
        load_image(server + path, ImagePolicy(urls="public", max_bytes=100))


@pytest.mark.usefixtures("here_is_public")
def test_a_server_that_never_finishes_is_left(server: str) -> None:
    with pytest.raises(ValueError, match=r"/dripping did not arrive within 0\.2 seconds; download it and give the path"):
        load_image(server + "/dripping", ImagePolicy(urls="public", timeout=0.2))


def test_a_name_server_that_does_not_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, answered = threading.Event(), threading.Event()

    def silent(*_: Any, **__: Any) -> list[Any]:
        asked.set()
        answered.wait(30)
        raise socket.gaierror("Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", silent)
    try:
        with pytest.raises(ValueError, match=r"did not arrive within 0\.2 seconds; download it and give the path"):
            load_image("http://slow.example/a.png", ImagePolicy(urls="public", timeout=0.2))
        assert asked.is_set() and not answered.is_set()
    finally:
        answered.set()


@pytest.mark.usefixtures("here_is_public")
def test_https_to_a_server_without_it_is_one_line(server: str) -> None:
    with pytest.raises(ValueError, match=r"cannot be fetched \(.*\); download it and give the path$"):
        load_image(server.replace("http:", "https:") + "/image.png", PUBLIC)


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("http:///a.png", r"names no host"),
        ("http://[::1/a.png", r"is not a valid URL"),
        ("http://host:0/a.png", r"^http://host/a\.png names port 0, which nothing answers on"),
        ("http://host:99999/a.png", r"^http://host/a\.png is not a valid URL \(Port out of range"),
        ("http://me:secret@host/a.png", r"^http://host/a\.png holds a user name or password, which is not accepted"),
        (f"http://{'a' * 70}.example/a.png", r"names a host that cannot be resolved"),
        ("http://ho\tst\x01/a.png", r"."),
    ],
)
def test_urls_that_make_no_sense(monkeypatch: pytest.MonkeyPatch, url: str, fault: str) -> None:
    def unknown(host: str, *_: Any, **__: Any) -> list[Any]:
        host.encode("idna")
        raise socket.gaierror("Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(ValueError, match=fault) as error:
        load_image(url, PUBLIC)
    assert str(error.value).isprintable()
    assert "secret" not in str(error.value)
