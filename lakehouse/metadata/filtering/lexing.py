"""A filter query's text as tokens, spelt as in GoogleSQL: names, numbers, texts with their escapes, signs, comments."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from lakehouse.errors import RecordError

_MOST: Final = 20_000  # tokens, so that what is bound stays within what every database takes
_WORD: Final = r"[A-Za-z_]\w*|`(?:[^`\\\n]|\\.)*`"
_TOKEN: Final = re.compile(
    rf"""
      (?P<space>     \s+ | --[^\n]* | \#[^\n]* | /\*.*?\*/ )
    | (?P<text>      [rR]?(?: '''(?:[^\\]|\\.)*?''' | \"\"\"(?:[^\\]|\\.)*?\"\"\"
                            | '(?:[^'\\\n]|\\.)*'   | "(?:[^"\\\n]|\\.)*" ))
    | (?P<property>  (?:custom_)?properties\.(?:\w+|`(?:[^`\\\n]|\\.)*`)\.\w+ )
    | (?P<number>    (?: 0[xX][0-9a-fA-F]+ | (?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)? )(?!\w) )
    | (?P<name>      {_WORD} )
    | (?P<sign>      <= | >= | != | <> | [=<>(),.+-] )
    """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPE: Final = re.compile(
    r"\\(?:([abfnrtv\\?\"'`])|([0-3][0-7]{2})|[xX]([\da-fA-F]{2})|u([\da-fA-F]{4})|U([\da-fA-F]{8})|)"
)
_SIMPLE: Final = dict(zip("abfnrtv\\?\"'`", "\a\b\f\n\r\t\v\\?\"'`", strict=True))
_UNCLOSED: Final = {"'": "text", '"': "text", "`": "name in backquotes", "/*": "comment"}


@dataclass(frozen=True, slots=True)
class Token:
    """One word of a query.

    Attributes:
        kind: ``name``, ``property``, ``number``, ``text``, ``sign`` or ``end``.
        text: as it is written.
        at: where it starts, in characters from 0.
    """

    kind: str
    text: str
    at: int


def invalid(at: int, message: str) -> RecordError:
    """The error of a query that says something impossible at this place."""
    end = "" if message.endswith(("?", ".")) else "."
    return RecordError(f"The filter query is wrong at character {at + 1}: {message}{end}", "invalid")


def tokens(query: str) -> list[Token]:
    """The query's tokens, the last of them its end.

    Raises:
        RecordError: (invalid) a character or text is none that a query can have, or there are too many.
    """
    found: list[Token] = []
    at = 0
    while at < len(query):
        match = _TOKEN.match(query, at)
        if match is None:
            what = next((what for start, what in _UNCLOSED.items() if query.startswith(start, at)), None)
            raise invalid(at, f"the {what} is not closed" if what else f"{query[at]!r} is not understood here")
        if match.lastgroup != "space":
            found.append(Token(str(match.lastgroup), match.group(), at))
        at = match.end()
    if len(found) > _MOST:
        raise invalid(found[_MOST].at, f"it goes on after {_MOST:,} words and signs: split it")
    return [*found, Token("end", "", len(query))]


def text(token: Token) -> str:
    """The text that a text token means.

    Raises:
        RecordError: (invalid) it has an escape that there is none of.
    """
    raw = token.text[0] in "rR"
    quoted = token.text.removeprefix(token.text[0]) if raw else token.text
    marks = 3 if quoted[:3] in {"'''", '"""'} else 1
    content = quoted[marks:-marks].replace("\r\n", "\n")
    return content if raw else _unescaped(content, token.at)


def name(written: str, at: int) -> str:
    """The name that is written, plain or in backquotes.

    Raises:
        RecordError: (invalid) the backquotes hold nothing, or an escape that there is none of.
    """
    if not written.startswith("`"):
        return written
    if len(written) == 2:
        raise invalid(at, "a name in backquotes cannot be empty")
    return _unescaped(written[1:-1], at)


def _unescaped(content: str, at: int) -> str:
    def meant(match: re.Match[str]) -> str:
        simple, octal, two, four, eight = match.groups()
        try:
            if simple:
                return _SIMPLE[simple]
            character = chr(int(octal, 8) if octal else int(two or four or eight or "", 16))
            character.encode()
        except (ValueError, OverflowError):
            shown = content[match.start() : match.start() + 2]
            raise invalid(at, f"the escape {shown} is none, or is cut short (a backslash itself is \\\\)") from None
        return character

    return _ESCAPE.sub(meant, content)
