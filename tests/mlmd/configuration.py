"""A database's URL as ML Metadata's clients take it."""

from ml_metadata.proto import metadata_store_pb2 as pb
from sqlalchemy import make_url


def configuration(where: str) -> pb.ConnectionConfig:
    """The connection configuration of a database in memory, in a file or on a server."""
    url = make_url(where)
    account = {"user": url.username, "password": url.password or ""}
    match url.get_backend_name():
        case "mysql":
            address = {"host": url.host, "port": url.port or 3306, "database": url.database}
            return pb.ConnectionConfig(mysql=address | account)
        case "postgresql":
            address = {"host": url.host, "port": str(url.port or 5432), "dbname": url.database}
            return pb.ConnectionConfig(postgresql=address | account)
        case _ if url.database:
            return pb.ConnectionConfig(sqlite={"filename_uri": url.database})
        case _:
            return pb.ConnectionConfig(fake_database={})
