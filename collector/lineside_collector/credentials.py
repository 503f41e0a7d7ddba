"""How the collector proves to the broker who it is."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from lineside_contract.address import BrokerAddress
from lineside_contract.errors import InputError

PASSWORD_VARIABLE = "LINESIDE_BROKER_PASSWORD"


class Credentials(NamedTuple):
    """User name and password, and the files that TLS needs. `ca_file` None trusts the system's authorities."""

    username: str | None = None
    password: str | None = None
    ca_file: Path | None = None
    certificate: Path | None = None
    key: Path | None = None


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


def check_credentials(address: BrokerAddress, credentials: Credentials) -> Credentials:
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
