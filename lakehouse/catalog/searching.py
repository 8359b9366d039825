"""Where words are met: in the names, descriptions, owners and labels of a lake's things. All of it configuration.

A word of a query meets a word that it is, that begins with it, that holds it, or, where there is none of these, that it
was likely meant to be. What is told first is met in its name.
"""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from lakehouse import timeline
from lakehouse.config import Config, Dataset
from lakehouse.errors import ConfigError
from lakehouse.site import Site

__all__ = ["FOUND", "Hit", "search"]

FOUND = 20
"""Hits that are told unless more are asked for."""

_WORD = re.compile(r"[a-z]+|[0-9]+|[^\W_]+")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_WEIGHTS = {"name": 10.0, "label": 6.0, "subject": 5.0, "feature": 4.0, "owner": 3.0, "description": 2.0, "type": 1.0}
_IS, _BEGINS, _HOLDS, _MEANT = 1.0, 0.8, 0.5, 0.4  # how well a word is met
_SHORT = 3  # letters of a word that may be mistyped, or held by another
_LIKE = 0.75  # how like a mistyped word is to what was meant
_KINDS = ("subject", "dataset", "feature_set", "feature", "source", "job")


@dataclass(frozen=True, slots=True)
class Hit:
    """Something that a query is met in.

    Attributes:
        kind: ``subject``, ``dataset``, ``feature`` (``aviation/flights:dep_delay``), ``feature_set``, ``source`` or
            ``job``; with the name, what `Lake.show` takes.
        met: where: ``name``, ``label``, ``subject``, ``feature``, ``owner``, ``description``, ``type``.
        score: higher is better; of no meaning but the order.
        rows: of a dataset; None of others, and before its first version.
        committed_at: likewise.
    """

    kind: str
    name: str
    description: str
    owner: str
    met: tuple[str, ...]
    score: float
    rows: int | None = None
    committed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class _Thing:
    kind: str
    name: str
    description: str
    owner: str
    words: Mapping[str, frozenset[str]]  # by field


def search(site: Site, text: str, *, limit: int | None = FOUND) -> tuple[Hit, ...]:
    """The things of a lake in which every word of a text is met, the best first.

    Args:
        site: the opened lake.
        text: words; of names written together (``dep_delay``) each part is one.
        limit: the most to tell; None for all.

    Raises:
        ConfigError: there is no word in the text.
    """
    asked = list(dict.fromkeys(_words(text)))
    if not asked:
        raise ConfigError(f"there is no word in '{text}' to search for; write one, such as delay")
    things = list(_things(site.config))
    vocabulary = {word for thing in things for words in thing.words.values() for word in words}
    meant = [_meant(word, vocabulary) for word in asked]
    found = [(score, met, thing) for thing in things for score, met in [_met(thing, meant)] if score]
    found.sort(key=lambda one: (-one[0], _KINDS.index(one[2].kind), one[2].name))
    found = found[:limit]
    newest = timeline.newest(site.ledger, [thing.name for _, _, thing in found if thing.kind == "dataset"])
    hits = []
    for score, met, thing in found:
        last = newest.get(thing.name) if thing.kind == "dataset" else None
        known = (None, None) if last is None else (last.total, last.committed_at)
        hits.append(Hit(thing.kind, thing.name, thing.description, thing.owner, met, score, *known))
    return tuple(hits)


@functools.lru_cache(maxsize=50_000)
def _words(text: str) -> tuple[str, ...]:
    return tuple(_WORD.findall(_HUMP.sub(" ", text).lower()))


def _set(*texts: str) -> frozenset[str]:
    return frozenset(word for text in texts for word in _words(text))


def _things(config: Config) -> Iterator[_Thing]:
    by_subject: dict[str, list[Dataset]] = {}
    for dataset in config.datasets.values():
        by_subject.setdefault(dataset.subject, []).append(dataset)
        yield from _of_dataset(dataset)
    for subject, datasets in by_subject.items():
        names = ", ".join(sorted(dataset.name.partition("/")[2] for dataset in datasets))
        yield _Thing("subject", subject, names, "", {"name": _set(subject)})
    for name, one in config.feature_sets.items():
        words = {"name": _set(name), "description": _set(one.description), "owner": _set(one.owner)}
        more = {"label": _set(*one.labels), "feature": _set(*(feature.feature for feature in one.names), *one.entity)}
        yield _Thing("feature_set", name, one.description, one.owner, {**words, **more})
    for name, source in config.sources.items():
        words = {"name": _set(name), "description": _set(source.description), "type": _set(source.type)}
        yield _Thing("source", name, source.description, "", words)
    for name, job in config.jobs.items():
        words = {"name": _set(name), "description": _set(job.description)}
        yield _Thing("job", name, job.description, "", words)


def _of_dataset(dataset: Dataset) -> Iterator[_Thing]:
    """A dataset and its features."""
    features = dataset.schema.paths()
    own = {
        "name": _set(dataset.name.partition("/")[2]),
        "label": _set(*dataset.labels),
        "subject": _set(dataset.subject),
        "owner": _set(dataset.owner),
        "description": _set(dataset.description),
    }
    yield _Thing("dataset", dataset.name, dataset.description, dataset.owner, {**own, "feature": _set(*features)})
    for path, feature in features.items():
        words = {
            "name": _set(path),
            "description": _set(feature.description, feature.unit or ""),
            "type": _set(feature.kind),
            "subject": _set(dataset.name, *dataset.labels),
        }
        yield _Thing("feature", f"{dataset.name}:{path}", feature.description, dataset.owner, words)


def _meant(word: str, vocabulary: Iterable[str]) -> Mapping[str, float]:
    """The words that a word of the query meets, and how well."""
    found = {}
    for known in vocabulary:
        if known == word:
            found[known] = _IS
        elif known.startswith(word):
            found[known] = _BEGINS
        elif len(word) >= _SHORT and word in known:
            found[known] = _HOLDS
    if not found and len(word) > _SHORT:
        near = [known for known in vocabulary if abs(len(known) - len(word)) <= 2]
        found = dict.fromkeys(difflib.get_close_matches(word, near, n=5, cutoff=_LIKE), _MEANT)
    return found


def _met(thing: _Thing, meant: Sequence[Mapping[str, float]]) -> tuple[float, tuple[str, ...]]:
    """How well a thing meets all words of a query, and where; 0 where one of them is not met."""
    total = 0.0
    where: dict[str, None] = {}
    for words in meant:
        best, place = 0.0, ""
        for field, own in thing.words.items():
            score = max((words[word] for word in own & words.keys()), default=0.0) * _WEIGHTS[field]
            if score > best:
                best, place = score, field
        if not place:
            return 0.0, ()
        total += best
        where[place] = None
    if thing.kind == "feature" and where.keys() == {"subject"}:
        return 0.0, ()  # its dataset is met, and told
    # Of two things met alike, the one whose name says less else is meant more.
    return total / (1 + len(thing.words["name"]) / 100), tuple(where)
