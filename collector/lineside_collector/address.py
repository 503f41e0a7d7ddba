"""Where the broker is, and how the collector proves who it is."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from lineside_contract.errors import InputError, nearest

PASSWORD_VARIABLE = "LINESIDE_BROKER_PASSWORD"
# The scheme decides the default port and whether TLS is spoken.
_SCHEMES = {"mqtt": (1883, False), "mqtts": (8883, True)}


class Address(NamedTuple):
    """A broker's host and port, and whether it speaks TLS."""

    host: str
    port: int
    tls: bool

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'mqtts' if self.tls else 'mqtt'}://{host}:{self.port}"


class Credentials(NamedTuple):
    """User name and password, and the files that TLS needs. `ca_file` None trusts the system's authorities."""

    username: str | None = None
    password: str | None = None
    ca_file: Path | None = None
    certificate: Path | None = None
    key: Path | None = None


def parse_address(text: str) -> Address:
    """Read `mqtt://host[:port]` or `mqtts://host[:port]`. Raises InputError for anything else."""
    example = "Write it like mqtt://localhost:1883, or mqtts://host:8883 for TLS."
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise InputError(f"{text!r} is not a broker's address: {error}.", hint=example) from error
    if parts.username is not None or parts.password is not None:
        raise InputError(
            "A broker's address carries no user name or password: every process list would show it.",
            hint=f"Use --username, and {PASSWORD_VARIABLE} or --password-file.",
        )
    if parts.scheme not in _SCHEMES or "//" not in text:
        raise InputError(
            f"{text!r} is not a broker's address.", hint=nearest(parts.scheme, _SCHEMES) or example
        )
    if not host or parts.path not in ("", "/") or parts.query or parts.fragment:
        raise InputError(f"{text!r} is not a broker's address.", hint=example)
    usual, tls = _SCHEMES[parts.scheme]
    return Address(host, usual if port is None else port, tls)


def read_password(file: Path | None) -> str | None:
    """Return the password from a file's first line, or else from the environment. Raises InputError."""
    if file is None:
        return os.environ.get(PASSWORD_VARIABLE)
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise InputError(f"The password file {file} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise InputError(f"The password file {file} is not UTF-8 text.") from error
    if not lines or not lines[0]:
        raise InputError(f"The password file {file} is empty.", hint="Its first line is the password.")
    return lines[0]


def check_credentials(address: Address, credentials: Credentials) -> Credentials:
    """Return the credentials if they can be used with the address. Raises InputError otherwise."""
    files = (credentials.ca_file, credentials.certificate, credentials.key)
    if any(files) and not address.tls:
        raise InputError(
            f"{address} does not speak TLS, so certificates are of no use to it.", hint="Use mqtts://."
        )
    if credentials.password is not None and credentials.username is None:
        raise InputError("A password was given without a user name.", hint="Add --username.")
    if (credentials.certificate is None) != (credentials.key is None):
        raise InputError("--certificate and --key are only of use together.")
    for file in files:
        if file is not None and not file.is_file():
            raise InputError(f"There is no file {file}.")
    return credentials
