"""ML Metadata's connection configuration as the URL of a database."""

from __future__ import annotations

from pathlib import Path
from typing import Final
from urllib.parse import quote, urlencode

from ml_metadata.proto import metadata_store_pb2 as pb

_SQLITE: Final = pb.SqliteMetadataSourceConfig


def url_of(config: pb.ConnectionConfig) -> str:
    """The database that a configuration names; a fake database, or SQLite without a file, is a new one in memory.

    Raises:
        RuntimeError: it names none, a file that it does not let be made, or a way to connect that we do not have.
    """
    match config.WhichOneof("config"):
        case "fake_database":
            return "sqlite://"
        case "sqlite":
            return _sqlite(config.sqlite)
        case "mysql":
            return _mysql(config.mysql)
        case "postgresql":
            return _postgresql(config.postgresql)
        case _:
            raise RuntimeError("The connection configuration is unset: name a database.")


def read_only(config: pb.ConnectionConfig) -> bool:
    """Whether nothing may be put."""
    return bool(config.sqlite.connection_mode == _SQLITE.READONLY)


def _sqlite(config: pb.SqliteMetadataSourceConfig) -> str:
    if not config.filename_uri:
        return "sqlite://"
    file = Path(config.filename_uri.removeprefix("file:")).absolute()
    made = config.connection_mode in {_SQLITE.UNKNOWN, _SQLITE.READWRITE_OPENCREATE}
    if not (file.parent if made else file).exists():
        raise RuntimeError(f"Cannot connect to the SQLite database {file}: unable to open database file.")
    return f"sqlite:///{file}"


def _mysql(config: pb.MySQLDatabaseConfig) -> str:
    ssl = config.ssl_options
    options = {
        "unix_socket": config.socket,
        "ssl_ca": ssl.ca,
        "ssl_cert": ssl.cert,
        "ssl_key": ssl.key,
        "ssl_capath": ssl.capath,
        "ssl_cipher": ssl.cipher,
        "ssl_verify_cert": "true" if ssl.verify_server_cert else "",
    }
    at = _at(config.user, config.password, config.host or "127.0.0.1", str(config.port or ""))
    return f"mysql+pymysql://{at}/{quote(config.database, safe='')}{_query(options)}"


def _postgresql(config: pb.PostgreSQLDatabaseConfig) -> str:
    ssl = config.ssloption
    options = {
        "hostaddr": config.hostaddr,
        "passfile": config.passfile,
        "sslmode": ssl.sslmode,
        "sslcert": ssl.sslcert,
        "sslkey": ssl.sslkey,
        "sslpassword": ssl.sslpassword,
        "sslrootcert": ssl.sslrootcert,
    }
    at = _at(config.user, config.password, config.host, config.port)
    return f"postgresql+psycopg://{at}/{quote(config.dbname, safe='')}{_query(options)}"


def _at(user: str, password: str, host: str, port: str) -> str:
    secret = f":{quote(password, safe='')}" if password else ""
    who = f"{quote(user, safe='')}{secret}@" if user else ""
    return f"{who}{host}{f':{port}' if port else ''}"


def _query(options: dict[str, str]) -> str:
    given = {name: value for name, value in options.items() if value}
    return f"?{urlencode(given)}" if given else ""
