"""Text (or a typed file's own values) to a feature's dtype, never losing anything without a word.

Every parser is a polars expression that gives null where the value does not fit; a value is bad
where something was there and nothing came out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import polars as pl

from lakehouse.schema import FeatureType

if TYPE_CHECKING:
    from lakehouse.schema import Feature

__all__ = ["NO_CODE", "absent", "as_json", "as_text", "literal", "missing", "named", "parse", "unlike"]

NO_CODE = "not a code of"
"""How the reason begins of a value that the feature's code table does not hold."""

_FEW = 8  # words up to which comparing with each is faster than looking up in a set
_ISO_DATE = "%Y-%m-%d"
_ISO_DATETIME = "%+"  # RFC 3339: T or a blank between, fraction optional, offset or Z required
_ISO_LOCAL = ("%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f")
_INFINITE = r"(?i)^[+-]?inf(?:inity)?$"
_FINER_THAN_MICROSECONDS = r"\.\d{6}\d*[1-9]"


def absent(source: pl.Expr, dtype: pl.DataType, null_values: tuple[str, ...]) -> pl.Expr:
    """The source value with the texts that mean "missing" made null."""
    if not null_values or dtype != pl.String:
        return source
    return pl.when(~_one_of(source, null_values)).then(source)


def missing(source: pl.Expr, dtype: pl.DataType, null_values: tuple[str, ...]) -> pl.Expr:
    """Whether the source says that the value is missing; as `absent`, without the value itself."""
    if not null_values or dtype != pl.String:
        return source.is_null()
    return source.is_null() | _one_of(source, null_values)


def _one_of(text: pl.Expr, words: tuple[str, ...]) -> pl.Expr:
    """Whether a text is one of these words; a few are compared one by one, which is ten times as fast as a set."""
    return pl.any_horizontal(text == word for word in words) if len(words) <= _FEW else text.is_in(list(words))


def unlike(null_values: tuple[str, ...], feature: Feature) -> bool:
    """Whether no text for "missing" is a value of the feature's, so that parsing it gives null by itself."""
    if feature.type is FeatureType.STRING:
        return not null_values
    return not any(_fits(word, feature) for word in null_values)


def _fits(word: str, feature: Feature) -> bool:
    return pl.select(_from_text(pl.lit(word, pl.String), feature)).item() is not None


def parse(value: pl.Expr, dtype: pl.DataType, feature: Feature, *, lenient: bool = True) -> pl.Expr:
    """The value as the feature's dtype, null where it does not fit.

    Args:
        value: the source column, missing values already null.
        dtype: what the file holds; String for text formats.
        feature: what it must become.
        lenient: take the text ``12.0`` for the int 12, which costs every int twice the time.
    """
    if dtype == pl.String:
        return _from_text(value, feature, lenient=lenient)
    if dtype == feature.dtype:
        return value
    if isinstance(dtype, pl.Datetime) and feature.type is FeatureType.DATETIME:
        moment = _in_utc(value, feature) if dtype.time_zone is None else value
        whole = pl.lit(value=True) if dtype.time_unit != "ns" else value.to_physical() % 1000 == 0
        return pl.when(whole).then(moment.cast(feature.dtype, strict=False))
    if isinstance(dtype, pl.Datetime) and dtype.time_zone is None and feature.type is FeatureType.DATE:
        return pl.when(value.dt.truncate("1d") == value).then(value.dt.date())
    if dtype.is_numeric() and feature.dtype.is_numeric():
        cast = value.cast(feature.dtype, strict=False)
        return pl.when(cast.cast(dtype, strict=False) == value).then(cast)
    if dtype == pl.Null:
        return pl.lit(None, feature.dtype)
    text = value.cast(pl.String, strict=False) if dtype == pl.Binary else as_text(value, dtype)  # bytes may be text
    return _from_text(text, feature)


def as_text(value: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """A typed file's value as text: base64 for bytes, ISO 8601 for durations, JSON for what is nested."""
    plain = as_json(value, dtype)
    if not dtype.is_nested():
        return plain.cast(pl.String, strict=False)
    # Only a struct can be encoded: {"":[1,2]} without its {"": and its }.
    encoded = pl.struct(plain.alias("")).struct.json_encode().str.strip_prefix('{"":').str.strip_suffix("}")
    return pl.when(value.is_not_null()).then(encoded)


def as_json(value: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """A typed file's value as polars can encode it in JSON: bytes and durations as text, at any depth."""
    match dtype:
        case pl.Binary():
            return value.bin.encode("base64")
        case pl.Duration():
            return value.dt.to_string("iso")
        case pl.Array():
            return as_json(value.arr.to_list(), pl.List(dtype.inner))
        case pl.List():
            return value.list.eval(as_json(pl.element(), cast("pl.DataType", dtype.inner)))
        case pl.Struct():
            fields = [
                as_json(value.struct.field(f.name), cast("pl.DataType", f.dtype)).alias(f.name) for f in dtype.fields
            ]
            return pl.when(value.is_not_null()).then(pl.struct(fields))
        case _:
            return value


def _from_text(text: pl.Expr, feature: Feature, *, lenient: bool = True) -> pl.Expr:
    match feature.type:
        case FeatureType.STRING:
            return text
        case FeatureType.INT:
            # 12.0 is 12: what pandas writes for integers beside missing values.
            digits = text.str.strip_suffix(".0") if lenient else text
            return digits.cast(pl.Int64, strict=False)
        case FeatureType.FLOAT:
            return _float(text, feature)
        case FeatureType.DECIMAL:
            # The cast alone rounds: 1.239 would become 1.24.
            exact = text.str.contains(rf"^[+-]?\d*\.?\d{{0,{feature.scale}}}0*$")
            return pl.when(exact).then(text.cast(feature.dtype, strict=False))
        case FeatureType.BOOL:
            true, false = text.is_in(list(feature.true_values)), text.is_in(list(feature.false_values))
            return pl.when(true).then(pl.lit(value=True)).when(false).then(pl.lit(value=False))
        case FeatureType.DATE:
            return text.str.to_date(feature.format or _ISO_DATE, strict=False, cache=False)
        case FeatureType.DATETIME:
            return _datetime(text, feature)
        case FeatureType.BYTES:
            # As PostgreSQL and the sources of databases write bytes; no base64 has a backslash.
            digits = text.str.strip_prefix("\\x").str.decode("hex", strict=False)
            return pl.when(text.str.starts_with("\\x")).then(digits).otherwise(text.str.decode("base64", strict=False))
        case FeatureType.STRUCT:
            raise TypeError("a struct is read by lakehouse.validation.nested")


def _float(text: pl.Expr, feature: Feature) -> pl.Expr:
    number = text.cast(pl.Float64, strict=False)
    too_large = number.is_infinite()  # 1e999 would become inf
    if feature.domain is not None and feature.domain.finite is not None:
        too_large &= ~text.str.contains(_INFINITE)  # said so itself: what that means is the domain's business
    return pl.when(too_large).then(None).otherwise(number)


def _datetime(text: pl.Expr, feature: Feature) -> pl.Expr:
    formats = (feature.format,) if feature.format else (_ISO_DATETIME,)
    aware = [f for f in formats if any(code in f for code in ("%z", "%#z", "%:z", "%+"))]
    whole = text if feature.format else _whole_offset(text)
    moments = [whole.str.to_datetime(f, time_unit="us", time_zone="UTC", strict=False) for f in aware]
    if feature.timezone is not None or not aware:
        naive = [f for f in formats if f not in aware] or list(_ISO_LOCAL)
        moments += [_in_utc(text.str.to_datetime(f, time_unit="us", strict=False), feature) for f in naive]
    moment = moments[0] if len(moments) == 1 else pl.coalesce(moments)
    if feature.format is not None and "%.f" not in feature.format and "%f" not in feature.format:
        return moment
    return pl.when(~text.str.contains(_FINER_THAN_MICROSECONDS)).then(moment)


def _whole_offset(text: pl.Expr) -> pl.Expr:
    """The moment with its offset in hours and minutes: PostgreSQL leaves minutes of zero out, as ISO 8601 may."""
    return pl.when(text.str.tail(3).str.contains("^[+-]")).then(text + ":00").otherwise(text)


def _in_utc(local: pl.Expr, feature: Feature) -> pl.Expr:
    """A wall-clock time in the feature's zone as UTC; null in the hour that happens twice or never."""
    if feature.timezone is None:
        return pl.when(pl.lit(value=False)).then(local.dt.replace_time_zone("UTC"))
    zoned = local.dt.replace_time_zone(feature.timezone, ambiguous="null", non_existent="null")
    return zoned.dt.convert_time_zone("UTC")


def literal(value: Any, feature: Feature) -> Any:
    """A value written in YAML (a default, a bound) as the Python value of the feature's type.

    Raises:
        ValueError: it is not a value of that type.
    """
    if feature.type is FeatureType.FLOAT and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    text = (
        {True: feature.true_values[0], False: feature.false_values[0]}[value] if isinstance(value, bool) else str(value)
    )
    parsed = pl.select(_from_text(pl.lit(text, pl.String), feature).cast(feature.dtype)).item()
    if parsed is None:
        raise ValueError(f"{value!r} is not {named(feature)}")
    return parsed


def named(feature: Feature) -> str:
    """The feature's type as it reads in a message: ``a date written %d.%m.%Y``, ``a list of int``."""
    article = "a list of" if feature.repeated else "an" if feature.type is FeatureType.INT else "a"
    value = " value" if feature.type is FeatureType.BYTES and not feature.repeated else ""
    what = f"{article} {feature.type.value}{value}"
    if feature.type is FeatureType.DECIMAL:
        return f"{what} of {feature.precision} digits, {feature.scale} after the point"
    if feature.format is not None:
        return f"{what} written {feature.format}"
    if feature.type is FeatureType.DATETIME and feature.timezone is None:
        return f"{what} with an offset (2013-01-31T12:00:00Z)"
    return what
