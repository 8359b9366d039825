"""Puts secrets in for ``${ENV_NAME}`` and ``${file:/path}``, and takes them out of any text again."""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus, unquote, urlsplit

from lakehouse.config.problems import File, Problems
from lakehouse.config.problems import Path as KeyPath

__all__ = ["Secrets"]

_REFERENCE = re.compile(r"\$\$\{|\$\{([^}]*)(\}?)")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MAX_BYTES = 64 << 10
_SHORTEST = 4


class Secrets:
    """Every secret value that was put in, so that none is printed.

    Values of fewer than four characters are put in but not redacted: they would blank out ordinary text.
    """

    def __init__(self, environ: Mapping[str, str], folder: Path, problems: Problems) -> None:
        """Start with none.

        Args:
            environ: the environment variables.
            folder: what a relative ``${file:…}`` is relative to.
            problems: where missing ones are noted.
        """
        self._environ = environ
        self._folder = folder
        self._problems = problems
        self._values: set[str] = set()

    def __repr__(self) -> str:
        return f"Secrets({len(self._values)} hidden)"

    def __getstate__(self) -> dict[str, Any]:
        """What another process needs to take the same secrets out of a text, and no more."""
        return {"_environ": {}, "_folder": self._folder, "_problems": Problems(), "_values": self._values}

    def fill(self, value: Any, file: File, path: KeyPath = ()) -> Any:
        """The value with every reference in its strings replaced; ``$${`` gives ``${``.

        A reference to nothing is noted, and stays as it is.
        """
        if isinstance(value, dict):
            return {key: self.fill(inner, file, (*path, key)) for key, inner in value.items()}
        if isinstance(value, list):
            return [self.fill(inner, file, (*path, index)) for index, inner in enumerate(value)]
        if not isinstance(value, str) or "${" not in value:
            return value

        def found(match: re.Match[str]) -> str:
            if match[1] is None:
                return "${"
            if not match[2]:
                self._problems.add(file, path, "'${' has no '}'; write '$${' for the characters themselves")
                secret = ""
            else:
                secret = self._look_up(match[1], file, path)
            if not secret:
                self._problems.unfilled.add((file.name, path))
            return secret or match[0]

        return _REFERENCE.sub(found, value)

    def hide(self, value: str) -> None:
        """Redact this value from now on."""
        if len(value) >= _SHORTEST:
            self._values |= {
                value,
                quote(value),
                quote(value, safe=""),
                quote_plus(value),
                json.dumps(value)[1:-1],
                json.dumps(value, ensure_ascii=False)[1:-1],
                repr(value)[1:-1],
            }

    def hide_url(self, url: str) -> None:
        """Redact the password of a URL, where it has one."""
        try:
            password = urlsplit(url).password
        except ValueError:
            return
        if password:
            self.hide(password)
            self.hide(unquote(password))

    def redact(self, text: str) -> str:
        """The text with ``***`` for every secret, the longest first."""
        for value in sorted(self._values, key=len, reverse=True):
            text = text.replace(value, "***")
        return text

    def _look_up(self, reference: str, file: File, path: KeyPath) -> str:
        if reference.startswith("file:"):
            value = self._from_file(reference.removeprefix("file:"), file, path)
        elif not _NAME.fullmatch(reference):
            self._problems.add(file, path, f"'${{{reference}}}' is neither ${{ENV_NAME}} nor ${{file:/path}}")
            return ""
        else:
            value = self._environ.get(reference, "")
            if not value:
                state = "is empty" if reference in self._environ else "is not set"
                self._problems.add(file, path, f"the environment variable {reference} {state}; set it")
        self.hide(value)
        return value

    def _from_file(self, name: str, file: File, path: KeyPath) -> str:
        where = self._folder / name
        try:
            if not stat.S_ISREG(where.stat().st_mode):
                self._problems.add(file, path, f"the secret's file '{name}' is not a file")
                return ""
            with where.open("rb") as opened:
                raw = opened.read(_MAX_BYTES + 1)
            value = raw.decode().rstrip("\r\n") if len(raw) <= _MAX_BYTES else ""
        except UnicodeDecodeError:
            value = ""
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not a path"
            self._problems.add(file, path, f"the secret's file '{name}' cannot be read: {reason}")
            return ""
        if not value:
            self._problems.add(file, path, f"the secret's file '{name}' is empty, not UTF-8 or larger than 64 KiB")
        return value
