"""Objects in buckets: ``s3://``, ``gs://`` and ``az://`` addresses. Never writes to a bucket.

Nothing is taken from the machine (variables, files, instance roles) unless the YAML says so: what lands
is what the file describes, on every machine.
"""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Annotated, Any, ClassVar
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import AzureStore, GCSStore, S3Store
from pydantic import AfterValidator, Field, SecretStr, model_validator

from lakehouse.sources import Offer, Seen, Source
from lakehouse.sources.files import Patterns, storable
from lakehouse.sources.objects.addresses import Glob, addresses
from lakehouse.sources.objects.failures import Failures
from lakehouse.sources.objects.reading import ObjectOffer, Store, mark
from lakehouse.units import Duration

__all__ = ["ObjectsSource"]

_PAGE = 1000

_NO_PROXY = {"proxy_url": "http://proxy.invalid", "proxy_excludes": "*,0.0.0.0/0,::/0"}
"""Asks every server itself: without a proxy of ours theirs would be the environment's."""

_OF_GOOGLE = ("GOOGLE_SERVICE_ACCOUNT", "GOOGLE_SERVICE_ACCOUNT_PATH", "GOOGLE_SERVICE_ACCOUNT_KEY")
"""Variables that are read whatever is said beside them, and cannot be overruled."""

_KEYS = {
    "s3": ((), ("key", "secret"), ("key", "secret", "token")),
    "gs": ((), ("service_account",), ("token",)),
    "az": (("account",), ("account", "key"), ("account", "sas"), ("account", "token")),
}
"""What may be said of who asks, of each kind of bucket; the first is enough where nobody is named."""


def _endpoint(value: str) -> str:
    try:
        parts = urlsplit(value)
        fine = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
        bare = not (parts.query or parts.fragment or "@" in parts.netloc)
    except ValueError:
        fine = bare = False
    if not (fine and bare and value.isprintable() and value.isascii()) or " " in value:
        raise ValueError("must be https://host, with a port and a path at most")
    return value.rstrip("/")


class ObjectsSource(Source):
    """Addresses and globs in S3, Google Cloud Storage, Azure Blob Storage and what speaks like them.

    Globs are those of `FilesSource`; only what lies below their first parts without ``*``, ``?`` and
    ``[`` is listed, a page at a time, in the order of the listing.

    Attributes:
        path: one address or glob, or a list, all of one kind.
        exclude: globs of names, or of whole keys, to leave out.
        endpoint: the server, where it is not the cloud's own.
        region: of S3.
        allow_http: whether an endpoint without TLS may be asked.
        anonymous: asks without saying who: public buckets.
        use_environment: whether credentials come from the machine, as the cloud's own programs find them.
        key: S3 access key id; of Azure the account's key.
        secret: S3 secret access key.
        token: S3 session token, of the others a bearer token.
        account: of Azure.
        sas: of Azure, a shared access signature.
        service_account: of Google, the JSON text of a service account's key.
        timeout: the longest wait to connect, and for the next bytes.
        deadline: the longest one object may take.
    """

    asking: ClassVar = ("path", "exclude")
    watchable: ClassVar = True

    path: Annotated[Patterns, Field(min_length=1), AfterValidator(addresses)]
    exclude: Patterns = ()
    endpoint: Annotated[str, AfterValidator(_endpoint)] | None = None
    region: Annotated[str, Field(pattern=r"^[a-z0-9-]+$")] = "us-east-1"
    allow_http: bool = False
    anonymous: bool = False
    use_environment: bool = False
    key: SecretStr | None = None
    secret: SecretStr | None = None
    token: SecretStr | None = None
    account: Annotated[str, Field(pattern=r"^[a-z0-9]+$")] | None = None
    sas: SecretStr | None = None
    service_account: SecretStr | None = None
    timeout: Annotated[Duration, Field(gt=timedelta())] = timedelta(seconds=30)
    deadline: Annotated[Duration, Field(gt=timedelta())] = timedelta(hours=6)

    _secrets: ClassVar = ("key", "secret", "token", "sas", "service_account")

    @model_validator(mode="after")
    def _says_who_asks(self) -> ObjectsSource:
        bare, *ways = _KEYS[self._kind]
        given = tuple(name for name in ("account", *self._secrets) if getattr(self, name) is not None)
        nobody = self.anonymous or self.use_environment
        if self.anonymous and self.use_environment:
            raise ValueError("anonymous and use_environment exclude each other")
        if nobody and given != bare and not (self.use_environment and not given):
            raise ValueError(
                f"nothing but {' and '.join(bare) or 'path'} may be said beside anonymous or use_environment"
            )
        if not nobody and set(given) not in map(set, ways):
            choices = "; or ".join(" and ".join(way) for way in ways)
            raise ValueError(
                f"of {self._kind}:// say who asks: {choices}; or anonymous: true for what is public; "
                "or use_environment: true to take the machine's own credentials"
            )
        if self.endpoint is not None and self.endpoint.startswith("http:") and not self.allow_http:
            raise ValueError("endpoint: is not encrypted; write https://, or say allow_http: true as well")
        return self

    @property
    def _kind(self) -> str:
        return self.path[0].partition(":")[0]

    def places(self) -> tuple[str, ...]:
        """The objects that are named, and of a glob the folder it starts in."""
        return tuple(dict.fromkeys(self._redact(Glob.of(one).folder_uri) for one in self.path))

    def offers(self, seen: Seen, now: datetime) -> Iterator[Offer]:
        """The objects that match now; see `Source.offers`."""
        del now  # an object is whole when it is listed
        globs = [Glob.of(one) for one in self.path]
        stores = {glob.bucket: self._store(glob.bucket) for glob in globs}
        for number, glob in enumerate(globs):
            store = stores[glob.bucket]
            for meta in self._list(store, glob):
                key = meta["path"]
                earlier = any(one.bucket == glob.bucket and one.matches(key) for one in globs[:number])
                if not earlier and glob.matches(key) and not self._excluded(key):
                    offer = self._offer(store, glob.bucket, meta, seen)
                    if offer is not None:
                        yield offer

    def _excluded(self, key: str) -> bool:
        name = key.rpartition("/")[2]
        return any(fnmatch.fnmatchcase(name, glob) or fnmatch.fnmatchcase(key, glob) for glob in self.exclude)

    def _offer(self, store: Store, bucket: str, meta: obstore.ObjectMeta, seen: Seen) -> Offer | None:
        origin = self._redact(f"{self._kind}://{bucket}/{storable(meta['path'])}")
        last = seen.get(origin)
        unchanged = last is not None and (last.size, last.modified) == (meta["size"], mark(meta))
        if meta["size"] == 0 and not unchanged:
            # What a console shows as a folder is an empty object whose key ends in "/", which is listed without it.
            try:
                obstore.head(store, meta["path"])
            except FileNotFoundError:
                return None
            except BaseError as error:
                raise self._failures().of(origin, error) from None
        name = storable(self._redact(meta["path"].rpartition("/")[2]))
        return ObjectOffer(self._failures(), store, meta, origin, name, unchanged)

    def _list(self, store: Store, glob: Glob) -> Iterator[obstore.ObjectMeta]:
        where = self._redact(glob.folder_uri)
        try:
            if not glob.parts:
                yield obstore.head(store, glob.folder)
                return
            for page in obstore.list(store, glob.folder or None, chunk_size=_PAGE):
                yield from page
        except FileNotFoundError as error:
            raise self._failures().of(where, error) from None
        except BaseError as error:
            raise self._failures().of(where, error) from None

    def _store(self, bucket: str) -> Store:
        """The bucket; whatever the environment says is overruled unless it was asked for."""
        common: dict[str, Any] = {
            "client_options": {
                "allow_http": self.allow_http,
                "connect_timeout": self.timeout,
                "read_timeout": self.timeout,
                "timeout": self.deadline,  # of a whole answer: theirs is 30 s, too short for a large object
                "user_agent": "lakehouse",
            },
            "retry_config": {
                "max_retries": 2,
                "retry_timeout": self.timeout,
                "backoff": {"max_backoff": timedelta(seconds=2)},
            },
        }
        if not self.use_environment:
            common["skip_signature"] = self.anonymous
            common["client_options"] |= _NO_PROXY
        try:
            return getattr(self, f"_{self._kind}")(bucket, common)  # type: ignore[no-any-return]
        except (BaseError, ValueError) as error:
            where = f"{self._kind}://{bucket}"
            if self._kind == "gs" and (names := [name for name in _OF_GOOGLE if name in os.environ]):
                text = f"{' and '.join(names)} in the environment cannot be used, nor passed over; unset it"
                raise self._failures().error(where, text) from None
            raise self._failures().of(where, error) from None

    def _s3(self, bucket: str, common: dict[str, Any]) -> S3Store:
        if self.use_environment:
            at: dict[str, Any] = (
                {"endpoint": self.endpoint, "aws_endpoint_url_s3": self.endpoint} if self.endpoint else {}
            )
            at |= {"region": self.region} if "region" in self.model_fields_set else {}
            return S3Store(bucket, **at, **common)
        endpoint = self.endpoint or f"https://s3.{self.region}.amazonaws.com"
        # By a function, because a key of the file and a token of the environment would be taken together.
        who: Any = {
            "access_key_id": _value(self.key) or "",
            "secret_access_key": _value(self.secret) or "",
            "token": _value(self.token),
            "expires_at": None,
        }
        at = {"endpoint": endpoint, "aws_endpoint_url_s3": endpoint, "region": self.region}
        return S3Store(
            bucket,
            **at,
            virtual_hosted_style_request=False,
            s3_express=False,
            request_payer=False,
            unsigned_payload=False,
            credential_provider=lambda: who,
            **common,
        )

    def _gs(self, bucket: str, common: dict[str, Any]) -> GCSStore:
        at: dict[str, Any] = {"base_url": self.endpoint} if self.endpoint else {}
        if not self.use_environment and not self.endpoint:
            at = {"base_url": "https://storage.googleapis.com"}
        if self.service_account is not None:
            return GCSStore(bucket, service_account_key=_value(self.service_account), **at, **common)
        if self.use_environment:
            return GCSStore(bucket, **at, **common)
        who: Any = {"token": _value(self.token) or "", "expires_at": None}
        return GCSStore(bucket, credential_provider=lambda: who, **at, **common)

    def _az(self, bucket: str, common: dict[str, Any]) -> AzureStore:
        at: dict[str, Any] = {"account_name": self.account} if self.account else {}
        if self.endpoint or not self.use_environment:
            at["endpoint"] = self.endpoint or f"https://{self.account}.blob.core.windows.net"
        if not self.use_environment:
            at["use_emulator"] = False
        ways = {"key": "account_key", "sas": "sas_key", "token": "token"}
        kinds = {"key": "access_key", "sas": "sas_token", "token": "bearer_token"}
        for name, theirs in ways.items():
            value = _value(getattr(self, name))
            if value is not None:
                at |= {"credential_type": kinds[name], theirs: value.lstrip("?")}
        return AzureStore(bucket, **at, **common)

    def _failures(self) -> Failures:
        return Failures(self._redact, tuple(_value(getattr(self, name)) or "" for name in self._secrets))


def _value(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()
