"""Connecting to SFTP servers: who asks, and whether the server is the one that is meant."""

from __future__ import annotations

import base64
import io
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from lakehouse.errors import ConfigError, SourceError
from lakehouse.records import printable
from lakehouse.sources.files import storable

if TYPE_CHECKING:  # 0.2 s, and an extra
    import paramiko

__all__ = ["Access", "connect", "require"]

_UNHEARD = logging.NullHandler()
"""Where nobody listens to paramiko's log, Python would print the tracebacks of its threads beside our errors."""


@dataclass(frozen=True)
class Access:
    """A server and who asks it.

    Attributes:
        host: the server.
        port: where it listens.
        user: who asks.
        password: of the user.
        key: a private key's path, or the key itself.
        passphrase: of the key.
        allow_agent: whether keys of a running agent are tried.
        host_key: the server's public key or its fingerprint; None looks into known_hosts.
        known_hosts: a file of public keys.
        needs_known_hosts: whether that file must be there.
        folder: where a key's relative path starts.
        timeout: the longest wait for the next bytes, in seconds.
        deadline: the longest one file, or the look for files, may take, in seconds.
        redact: takes secrets out of text.
    """

    host: str
    port: int
    user: str
    password: str | None = field(repr=False)
    key: str | None = field(repr=False)
    passphrase: str | None = field(repr=False)
    allow_agent: bool
    host_key: str | None
    known_hosts: Path
    needs_known_hosts: bool
    folder: Path
    timeout: float
    deadline: float
    redact: Callable[[str], str] = field(repr=False)

    def uri(self, path: str) -> str:
        """The address of a file there, without secrets; a relative one starts at the user's own folder, ``~``."""
        port = "" if self.port == 22 else f":{self.port}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        below = path if path.startswith("/") else f"/~/{path}"
        return self.redact(f"sftp://{host}{port}{storable(below)}")

    def error(self, where: str, text: str, *, retryable: bool = False) -> SourceError:
        """What went wrong at an address, without secrets."""
        shown = self.redact(f"{printable(where)}: {text}")
        for secret in (self.password, self.passphrase):  # also those that were written into the YAML itself
            shown = shown.replace(secret, "***") if secret and len(secret) > 3 else shown
        return SourceError(shown, retryable=retryable)

    def refusal(self, text: str) -> SourceError:
        """Why there is no connection to the server."""
        return self.error(self.uri(""), text)


def require() -> None:
    """Look that paramiko is there.

    Raises:
        ConfigError: the extra is not installed.
    """
    if find_spec("paramiko") is None:
        raise ConfigError("a source of type sftp needs the extra: pip install 'lakehouse[sftp]'")


def connect(client: paramiko.SSHClient, access: Access) -> None:
    """Connect a client to a server whose host key is known; it is closed where that fails.

    Raises:
        SourceError: the host key is not known, or the user is refused.
        OSError: the server cannot be reached.
        SSHException: it does not keep to the protocol.
    """
    import paramiko  # noqa: PLC0415  # an extra

    logging.getLogger("paramiko").addHandler(_UNHEARD)  # adds it once
    try:
        client.set_missing_host_key_policy(_Checked(access))
        _trust(client, access)
        client.connect(
            access.host,
            access.port,
            access.user,
            password=access.password,
            pkey=_private_key(access),
            timeout=access.timeout,
            banner_timeout=access.timeout,
            auth_timeout=access.timeout,
            channel_timeout=access.timeout,
            allow_agent=access.allow_agent,
            look_for_keys=False,
        )
    except paramiko.BadHostKeyException as error:
        client.close()
        text = (
            f"its host key is not the one that is known but {error.key.get_name()} {error.key.fingerprint}: either "
            "the server was set up anew, which its owner can confirm, or somebody is in between; nothing was sent"
        )
        raise access.refusal(text) from None
    except paramiko.AuthenticationException as error:
        client.close()
        why = printable(str(error)).rstrip(".")
        text = f"the server refuses user '{access.user}' ({why}); look at user, password and key"
        raise access.refusal(text) from None
    except BaseException:
        client.close()
        raise


def _trust(client: paramiko.SSHClient, access: Access) -> None:
    """Tell the client which host key is the server's."""
    import paramiko  # noqa: PLC0415  # an extra

    known = access.host_key
    name = access.host if access.port == 22 else f"[{access.host}]:{access.port}"
    if known is None:
        try:
            client.load_host_keys(str(access.known_hosts))
        except FileNotFoundError:
            if access.needs_known_hosts:
                raise access.refusal(f"there is no known_hosts file '{access.known_hosts}'") from None
        except (OSError, UnicodeDecodeError, paramiko.hostkeys.InvalidHostKey) as error:
            line = (
                f"a line of it is damaged: {error.line}" if isinstance(error, paramiko.hostkeys.InvalidHostKey) else ""
            )
            why = line or getattr(error, "strerror", None) or "it is not text"
            raise access.refusal(f"the known_hosts file '{access.known_hosts}' cannot be read: {why}") from None
    elif not known.startswith("SHA256:"):
        kind, text = known.split(" ")[:2]
        try:
            key = paramiko.PKey.from_type_string(kind, base64.b64decode(text))
        except (paramiko.SSHException, ValueError, paramiko.pkey.UnknownKeyType) as error:
            raise access.refusal(f"host_key is not a public key: {error}") from None
        client.get_host_keys().add(name, kind, key)


def _private_key(access: Access) -> paramiko.PKey | None:
    import paramiko  # noqa: PLC0415  # an extra

    given = access.key
    if given is None:
        return None
    if not given.lstrip().startswith("-----BEGIN"):
        try:
            given = (access.folder / Path(given).expanduser()).read_text("ascii")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "not a private key"
            raise access.refusal(f"its key cannot be read: {reason}") from None
    for kind in (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey):
        try:
            return kind.from_private_key(io.StringIO(given.strip() + "\n"), access.passphrase)
        except paramiko.PasswordRequiredException:
            raise access.refusal("its key is encrypted; say passphrase:") from None
        except (paramiko.SSHException, ValueError, IndexError):
            continue
    text = "its key cannot be used: not an Ed25519, ECDSA or RSA private key, or not of this passphrase"
    raise access.refusal(text)


class _Checked:
    """What is done with a host key that is not known: it is the one of the fingerprint, or refused."""

    def __init__(self, access: Access) -> None:
        self._access = access

    def missing_host_key(self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> None:
        """Called by the client before anything is sent."""
        del client, hostname
        access, shown = self._access, key.fingerprint
        if access.host_key is not None and access.host_key == shown:
            return
        text = (
            f"its host key is not known: {key.get_name()} {shown}. If its owner confirms that fingerprint, "
            f'add to the source: host_key: "{shown}"'
        )
        if access.host_key is not None:
            text = (
                f"its host key is {key.get_name()} {shown}, not the host_key of the source; nothing was sent. Of a "
                "server with several keys, say the whole line of the one you know ('ssh-rsa AAAA…'): it is asked for"
            )
        raise access.refusal(text)
