"""Schemas of every kind, for properties: what YAML could say of a dataset."""

import string

from hypothesis import reject
from hypothesis import strategies as st
from pydantic import ValidationError

from lakehouse.schema import Schema

NAMES = st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=5)
WORDS = st.text(string.ascii_letters + "é \"'\\{}", min_size=1, max_size=6)
FRACTIONS = st.floats(0, 1)
COUNTS = st.integers(0, 10**12)
ENVIRONMENTS = ("TRAINING", "SERVING", "SHADOW")
SHARED = {"string": "words", "int": "whole", "float": "real"}


def some(**keys):
    """A mapping with any of the keys, but not none."""
    return st.fixed_dictionaries({}, optional=keys).filter(bool)


def bounds(numbers):
    """A lowest, a highest, or both."""
    pairs = st.tuples(numbers, numbers).map(sorted).map(lambda pair: {"min": pair[0], "max": pair[1]})
    return pairs | st.fixed_dictionaries({"min": numbers}) | st.fixed_dictionaries({"max": numbers})


WHOLE = st.integers(-(2**63), 2**63 - 1)
REAL = st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from([0.1, 1 / 3, 1e300])
MASS = st.fixed_dictionaries({}, optional={"min_mass": st.floats(0.01, 1)})
WORD_LISTS = st.lists(WORDS, min_size=1, max_size=4, unique=True).map(lambda words: {"values": words})
DOMAINS = {
    "int": bounds(WHOLE) | st.lists(WHOLE, min_size=1, max_size=3).map(lambda values: {"values": values}),
    "float": st.tuples(bounds(REAL), some(finite=st.booleans())).map(lambda both: both[0] | both[1])
    | bounds(REAL)
    | some(finite=st.booleans()),
    "decimal": bounds(st.integers(-1000, 1000)) | bounds(st.decimals(-99, 99, places=2).map(str)),
    "string": WORD_LISTS
    | st.tuples(WORD_LISTS, MASS).map(lambda both: both[0] | both[1])
    | some(regex=st.just("a+"), length=bounds(st.integers(0, 99))),
    "date": bounds(st.dates().map(str)),
    "datetime": bounds(st.dates().map(str)),
    "bytes": some(length=bounds(st.integers(0, 99))),
    "bool": st.nothing(),
}
LIMITS = some(infinity_norm=FRACTIONS, normalized_absolute_difference=FRACTIONS, max=FRACTIONS)
PRESENCE = (
    st.sampled_from(["required", "optional"])
    | some(min_fraction=FRACTIONS, min_count=COUNTS)
    | st.fixed_dictionaries({"required": st.just(value=True), "min_count": COUNTS})
)


@st.composite
def features(draw, *, nested=False):  # noqa: C901, PLR0912  # what goes with which type
    """One feature, as YAML has it."""
    kinds = [*DOMAINS] if nested else [*DOMAINS, "struct"]
    kind = draw(st.sampled_from(kinds))
    repeated = draw(st.integers(0, 3)) == 0
    keys = {
        "presence": PRESENCE,
        "lifecycle": st.sampled_from(["planned", "alpha", "beta", "production", "debug", "deprecated", "disabled"]),
        "tags": st.lists(WORDS, max_size=2),
        "description": st.text(max_size=9),
        "severity": st.just("warning"),
    }
    if not nested:
        keys |= {"personal": st.booleans(), "computed": st.booleans()}
    if repeated:
        keys["valency"] = bounds(st.integers(0, 9))
    if kind == "struct":
        keys["fields"] = st.dictionaries(NAMES, features(nested=True), min_size=1, max_size=3)
    else:
        keys |= {"unique": bounds(COUNTS), "null_values": st.lists(WORDS, max_size=2), "unit": WORDS}
        if kind != "bytes":
            keys |= {"drift": LIMITS, "skew": LIMITS}
    if kind in {"int", "float"}:
        keys["categorical"] = st.booleans()
    if kind == "bool":
        keys |= {"true_values": st.sampled_from([["1"], ["y", "Y"]]), "false_values": st.sampled_from([["0"], ["n"]])}
    if kind in {"date", "datetime"}:
        keys["format"] = st.sampled_from(["%Y-%m-%d", "%d/%m/%Y %H:%M:%S%z", "%d.%m.%y"])
    if kind == "decimal":
        keys |= {"precision": st.integers(20, 38), "scale": st.integers(0, 20)}
    if kind in SHARED:
        keys["domain"] = DOMAINS[kind] | st.just(SHARED[kind])
    elif kind not in {"struct", "bool"}:
        keys["domain"] = DOMAINS[kind]
    if draw(st.booleans()):
        inside, outside = draw(st.permutations(ENVIRONMENTS))[:2]
        keys |= {"in_environment": st.just([inside]), "not_in_environment": st.just([outside])}
    found = draw(st.fixed_dictionaries({}, optional=keys))
    if kind == "struct":
        found.setdefault("fields", {"inner": {"type": "string", "domain": "words"}})
    return found | {"type": f"list[{kind}]" if repeated else kind}


@st.composite
def schemas(draw):
    """Schemas of up to four features, with much else that one can say."""
    ratio = some(min_fraction=st.floats(0, 1), max_fraction=st.floats(1, 9))
    keys = {
        "environments": st.lists(st.sampled_from(ENVIRONMENTS), unique=True),
        "rows": some(min=COUNTS, drift=ratio, version=ratio),
        "keys": st.just("unique"),
        "checks": st.dictionaries(NAMES, st.just("1 = 1"), max_size=2),
        "freshness": st.just("2d"),
        "severity": st.just({"drift": "warning"}),
        "on_error": st.just({"presence": "refuse"}),
    }
    found = draw(st.fixed_dictionaries({}, optional=keys))
    found["features"] = draw(st.dictionaries(NAMES, features(), min_size=1, max_size=4))
    found["domains"] = {name: draw(DOMAINS[kind]) for kind, name in SHARED.items()}
    try:
        return Schema.model_validate(found)
    except ValidationError:  # keys that do not go together
        reject()
