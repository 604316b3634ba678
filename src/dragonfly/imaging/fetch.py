"""Bytes of an image on the public internet, without becoming a way into a private network.

Promises: the address that was checked is the address that is connected to, so a name that resolves differently the
second time gains nothing; every redirect is checked again; size and time are bounded, name resolution included. Proxies,
cookies and credentials are not used. Does not know images.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
import threading
import time
from contextlib import closing, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from urllib.parse import quote, urljoin, urlsplit, urlunsplit

from dragonfly.imaging.policy import ImageError, ImagePolicy

_MAX_REDIRECTS = 5
_CHUNK = 2**16
# The special-purpose registries of IANA, and what RFC 7526 withdrew (192.88.99.0/24).
_NOT_PUBLIC_4 = [
    ipaddress.IPv4Network(network)
    for network in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24"),
        *("192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24"),
        "224.0.0.0/3",
    )
]
_UNICAST_6 = ipaddress.IPv6Network("2000::/3")  # all that is given out; the rest is private, link-local, wrapped or unused
_NOT_PUBLIC_6 = [
    ipaddress.IPv6Network(network) for network in ("2001::/23", "2001:db8::/32", "2002::/16", "3ffe::/16", "3fff::/20")
]


def fetch(url: str, policy: ImagePolicy) -> bytes:
    """The body behind an http(s) URL. Raises ImageError, whatever goes wrong."""
    deadline = time.monotonic() + policy.timeout
    try:
        for _ in range(_MAX_REDIRECTS + 1):
            answer = _get(_Target.of(url), deadline, policy)
            if isinstance(answer, bytes):
                return answer
            url = urljoin(url, answer.location)
    except (OSError, HTTPException) as error:
        if isinstance(error, TimeoutError) or time.monotonic() >= deadline:
            raise ImageError(f"did not arrive within {policy.timeout:g} seconds; download it and give the path") from None
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ImageError(f"cannot be fetched ({reason:.200}); download it and give the path") from None
    raise ImageError(f"redirects more than {_MAX_REDIRECTS} times; download it and give the path")


def display_url(url: str) -> str:
    """The URL without user, password and query, which may hold secrets, and not too long."""
    try:
        parts = urlsplit(url)
        shown = f"{parts.scheme}://{parts.hostname or ''}{parts.path}"
    except ValueError:
        shown = url.partition("?")[0].rpartition("@")[2]
    return one_line(shown)[:120]


def one_line(text: str) -> str:
    """`text` with everything that a terminal or log would not print as itself replaced."""
    return "".join(character if character.isprintable() else "?" for character in text)


def is_public_address(address: str) -> bool:
    """Whether `address` is of the public internet, by our own list: Python's knowledge of it differs between versions.

    IPv6 that carries an IPv4 address (mapped, 6to4, Teredo, NAT64, ISATAP) is refused whatever it carries.
    """
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv4Address):
        return not any(ip in network for network in _NOT_PUBLIC_4)
    is_isatap = (int(ip) >> 32) & 0xFDFF_FFFF == 0x0000_5EFE  # RFC 5214, section 6.1
    return ip in _UNICAST_6 and not is_isatap and not any(ip in network for network in _NOT_PUBLIC_6)


@dataclass(frozen=True)
class _Target:
    secure: bool
    host: str
    port: int
    path: str

    @classmethod
    def of(cls, url: str) -> _Target:
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise ImageError(f"is not a valid URL ({error}); check it") from None
        if parts.scheme not in ("http", "https"):
            raise ImageError(f"leads to a {parts.scheme or 'nameless'}: URL; only http and https are fetched")
        if not host:
            raise ImageError("names no host; check it")
        if parts.username is not None or parts.password is not None:
            raise ImageError("holds a user name or password, which is not accepted; download it and give the path")
        if port == 0:
            raise ImageError("names port 0, which nothing answers on; check it")
        secure = parts.scheme == "https"
        path = quote(urlunsplit(("", "", parts.path or "/", parts.query, "")), safe="/?%:@!$&'()*+,;=~")
        return cls(secure, host, port or (443 if secure else 80), path)


@dataclass(frozen=True)
class _Redirect:
    location: str


def _within(host: str, domains: tuple[str, ...]) -> bool:
    host = host.lower().rstrip(".")
    return any(host == domain or host.endswith(f".{domain}") for domain in (one.lower().strip(".") for one in domains))


def _checked_address(target: _Target, deadline: float) -> str:
    """One address of the host, all of which must be public: a name with one private address is not to be trusted."""
    addresses = _resolved(target, deadline)
    if not addresses or not all(map(is_public_address, addresses)):
        # The address itself is not shown: a served model must not answer questions about its network.
        raise ImageError("leads to an address that is not public (private, loopback, link-local or reserved)")
    return addresses[0]


def _resolved(target: _Target, deadline: float) -> list[str]:
    """Asks in a thread, which a slow name server holds up instead of us: the system's resolver has no time limit of its own."""
    found: list[str] = []
    faults: list[Exception] = []

    def ask() -> None:
        try:
            entries = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
            found.extend(str(entry[4][0]) for entry in entries)
        except Exception as error:
            faults.append(error)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(max(0.0, deadline - time.monotonic()))
    if thread.is_alive():
        raise TimeoutError
    if faults:
        if isinstance(faults[0], OSError | UnicodeError):
            raise ImageError("names a host that cannot be resolved; check it") from None
        raise faults[0]
    return found


def _get(target: _Target, deadline: float, policy: ImagePolicy) -> bytes | _Redirect:
    if policy.domains and not _within(target.host, policy.domains):
        raise ImageError(f"leads to a host that is not allowed; allowed are {', '.join(policy.domains)}")
    address = _checked_address(target, deadline)
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    sock = socket.create_connection((address, target.port), timeout=left)
    connection = (HTTPSConnection if target.secure else HTTPConnection)(target.host, target.port)
    connection.sock = sock  # so that http.client resolves nothing itself
    with closing(connection):
        if target.secure:
            context = ssl.create_default_context()
            sock = context.wrap_socket(sock, server_hostname=target.host, do_handshake_on_connect=False)
            connection.sock = sock
        # A socket's timeout starts anew with every byte that drips in; the watchdog ends the whole exchange in time.
        watchdog = threading.Timer(max(0.0, deadline - time.monotonic()), _hang_up, (sock,))
        watchdog.daemon = True
        watchdog.start()
        try:
            if isinstance(sock, ssl.SSLSocket):
                sock.do_handshake()
            connection.request("GET", target.path, headers={"User-Agent": "dragonfly-vlm", "Accept": "image/*"})
            with connection.getresponse() as response:
                return _answer(response, deadline, policy)
        finally:
            watchdog.cancel()


def _hang_up(sock: socket.socket) -> None:
    with suppress(OSError):  # closed meanwhile
        socket.socket.shutdown(sock, socket.SHUT_RDWR)  # SSLSocket's own would pull its state from under the reader


def _answer(response: HTTPResponse, deadline: float, policy: ImagePolicy) -> bytes | _Redirect:
    location = response.getheader("Location")
    if response.status in (301, 302, 303, 307, 308) and location:
        return _Redirect(location)
    if response.status != 200:
        raise ImageError(f"answered with HTTP status {response.status}; check the address")
    expected = response.length
    body = bytearray()
    while expected is None or len(body) < expected:
        if len(body) > policy.max_bytes or (expected or 0) > policy.max_bytes:
            raise ImageError(f"has more than {policy.max_bytes:,} bytes, the limit; make it smaller")
        chunk = response.read(_CHUNK)
        if not chunk:
            break
        body += chunk
    if time.monotonic() >= deadline:
        raise TimeoutError
    if expected is not None and len(body) < expected:
        raise ImageError(f"broke off after {len(body):,} of {expected:,} bytes; try again")
    return bytes(body)
