#!/bin/sh
# The tour that `make demo` gives: the sample lake's nightly job, and what can be asked of it afterwards.
set -eu
export LAKEHOUSE_ENV=demo

say() { printf '\n# %s\n' "$1"; }
run() {
    printf '$ %s\n' "$*"
    "$@"
}

say "Land 35 raw files untouched, curate them into five tables."
run lakehouse run nightly
say "Again: every file is known, nothing is doubled."
run lakehouse run nightly
say "Three airports lie on the wrong side of the world. They are not lost, and not in the way."
run lakehouse quarantine reference/airports
say "What the values are like, and what is odd about them."
run lakehouse statistics aviation/flights --feature departure_delay --feature carrier
run lakehouse validate aviation/flights
say "Any row, back to the bytes it came from."
run lakehouse read aviation/flights --limit 3 --columns carrier,flight,origin,dest,departure_delay,gained --provenance
run lakehouse trace aviation/flights 7b0f5d1bd949:2
say "And from the bytes to everything that was made of them."
run lakehouse lineage 7b0f5d1bd949
say "Every raw file and every table part, hashed again."
run lakehouse check
printf '\nThe lake is in data/demo. Go on with docs/tutorial.md.\n'
