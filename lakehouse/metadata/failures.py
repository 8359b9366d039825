"""What a database's error means and what to do about it, in one line that shows no stored value and no secret."""

from __future__ import annotations

import re
from typing import Final

from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, SQLAlchemyError, StatementError

_SERVER: Final = "Check that the server runs, and the host and port in the ledger's URL."
_BROKE: Final = "The connection broke: run again when the server is back."

# The first whose pattern is found in the driver's text.
_HINTS: Final = (
    (r"locked|lock( wait)? timeout", "Another process holds the ledger: try again, or stop it."),
    (r"deadlock", "Another program wrote the same records at that moment: run again, nothing was recorded."),
    (r"too many|connection slots", "Let the server take more connections, or run fewer processes at once."),
    (r"password|access denied for user", "Check the user, password and database in the ledger's URL."),
    (r"pg_hba\.conf", "Let the server's pg_hba.conf take such connections, or name another host or user in the URL."),
    (r"(permission|command) denied", "Give the user rights to make, read and write tables in that database."),
    (
        r'unknown database|database ".*" does not',
        "Make the database first (CREATE DATABASE); the ledger makes its tables in it.",
    ),
    (r"no schema has been selected", "Make the schema that the URL's search_path names, or leave it out."),
    (r"no space left|is full", "Free some space and run again: nothing was recorded."),
    (r"readonly", "Make the file and its folder writable for this user."),
    (r"read[- ]only|during recovery", "This server only reads: name the one that is written to."),
    (r"refused|can't connect|(resolve|translate) host|timeout expired", _SERVER),
    (r"lost|closed|gone away|broken pipe|timed out|terminating", _BROKE),
    (r"index row", "PostgreSQL cannot index so long a text: shorten it to 2,600 bytes."),
    (r"too long for column '(uri|description|reason)'", "It takes up to 65,535 bytes."),
    (r"too long", "Names and external ids take up to 255 characters."),
    (r"reached maximum value|out of range value for column 'id'", "The ledger is full: a server's ids are below 2^31."),
    (r"out of range", "On a server a whole number takes up to 32 bits there."),
    (r"nul ", "Take the NUL character out of the text."),
    (r"unable to open", "Check that the path is a file in a folder this user may write."),
    (r"not a database", "It is no ledger, or no longer: name another in the URL, or run `lakehouse check --repair`."),
    (r"malformed", "The file is damaged: run `lakehouse check --repair`, or bring back a copy of it."),
    (r"disk i/o error", "Check the disk and the file system under the ledger."),
)
_VALUE: Final = re.compile(r" '[^']*'(?= for )| for value .*")


def explained(error: SQLAlchemyError) -> str:
    """What went wrong and what to do, in one line."""
    if isinstance(error, StatementError) and not isinstance(error, DBAPIError):
        return f"a value could not be given to the database ({type(error.orig).__name__})."
    if not isinstance(error, DBAPIError):
        return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no details'}"
    cause = _VALUE.sub("", _cause(error)).rstrip(".")
    hint = next((hint for pattern, hint in _HINTS if re.search(pattern, cause.lower())), "")
    if isinstance(error, IntegrityError) and not hint:
        hint = "Another record has that name or external id already."
    return f"{cause}. {hint}".rstrip()


def chainable(error: SQLAlchemyError) -> bool:
    """Whether the error may be shown below ours: it holds neither a stored value nor a connection's secrets."""
    told = isinstance(error, DBAPIError) and error.statement is not None
    return told and not isinstance(error, IntegrityError | DataError)


def _cause(error: DBAPIError) -> str:
    """The first line of what the driver says, without what it was given."""
    cause = error.orig
    if isinstance(cause, Exception) and len(cause.args) == 2 and isinstance(cause.args[0], int):
        return " ".join(str(cause.args[1]).split())  # MySQL's number and text
    # PostgreSQL adds details on further lines, values among them.
    return (str(cause).splitlines() or [type(cause).__name__])[0]
