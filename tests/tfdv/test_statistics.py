"""The same figures as TensorFlow Data Validation's, as it recorded them: of all rows, by slice, by weight."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import polars as pl
import pytest

from lakehouse import generate_statistics

ARCHIVE = Path(__file__).parent / "cases.tar.xz"
SAMPLED = 0.01  # their quantiles are estimates; ours are not


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tfdv")
    with tarfile.open(ARCHIVE) as archive:
        wanted = [m for m in archive.getmembers() if m.name.startswith(("70_", "71_"))]
        archive.extractall(folder, members=wanted, filter="data")

    def read(case):
        frame = pl.scan_csv(folder / case / "current.csv", infer_schema=False)
        return frame, json.loads((folder / case / "stats.json").read_text())["datasets"]

    return read


def _same(ours, theirs):
    """One feature's figures against theirs."""
    told = theirs.get("num_stats") or theirs["string_stats"]
    common = told["common_stats"]
    assert ours.count == int(common.get("num_non_missing", 0))
    assert ours.missing == int(common.get("num_missing", 0))
    assert ours.values == int(common.get("tot_num_values", 0))
    if "string_stats" in theirs and ours.count:
        assert ours.distinct.count == int(told["unique"])
        assert ours.lengths.mean == pytest.approx(told["avg_length"], rel=1e-6)
        counts = dict(ours.frequencies().iter_rows())
        assert all(counts[top["value"]] == top["frequency"] for top in told["top_values"])
    elif ours.count:
        numbers = ours.numbers
        assert (numbers.min, numbers.max) == (told.get("min", 0), told.get("max", 0))
        assert numbers.zeros == int(told.get("num_zeros", 0))
        assert numbers.mean == pytest.approx(told.get("mean", 0), rel=1e-9, abs=1e-9)
        assert numbers.std == pytest.approx(told.get("std_dev", 0), rel=1e-6, abs=1e-6)
        near = ours.quantile(0.5 - SAMPLED), ours.quantile(0.5 + SAMPLED)
        assert near[0] - 1 <= told.get("median", 0) <= near[1] + 1
        _same_buckets(ours, told)
    return told


def _same_buckets(ours, told):
    """Between the same edges. Their counts are reckoned from estimated quantiles, so those are not compared."""
    theirs = next(h for h in told["histograms"] if h.get("type", "STANDARD") == "STANDARD")["buckets"]
    if len(theirs) == 10:
        edges = [bucket["high_value"] for bucket in theirs]
        assert ours.histogram().edges[1:] == pytest.approx(edges, rel=1e-6, abs=1e-6)


def test_figures_by_slice(recorded):
    frame, datasets = recorded("70_stats_sliced")
    found = generate_statistics(frame, slices=["origin"])
    parts = {"All Examples": found, **{name.replace("=", "_"): part for name, part in found.slices.items()}}
    assert {one["name"] for one in datasets} == set(parts)
    for one in datasets:
        part = parts[one["name"]]
        assert part.rows == int(one["num_examples"])
        for feature in one["features"]:
            _same(part.features[feature["path"]["step"][0]], feature)


def test_figures_by_weight(recorded):
    frame, [dataset] = recorded("71_stats_weighted")
    found = generate_statistics(frame, weight="distance")
    assert found.weight == dataset["weighted_num_examples"]
    for feature in dataset["features"]:
        ours = found.features[feature["path"]["step"][0]]
        told, mine = _same(ours, feature), ours.weighted
        common = told["common_stats"]["weighted_common_stats"]
        assert mine.count == pytest.approx(common["num_non_missing"])
        assert mine.missing == pytest.approx(common.get("num_missing", 0.0))
        if "weighted_numeric_stats" in told:
            theirs = told["weighted_numeric_stats"]
            assert mine.mean == pytest.approx(theirs.get("mean", 0.0), rel=1e-9, abs=1e-9)
            assert mine.std == pytest.approx(theirs.get("std_dev", 0.0), rel=1e-6, abs=1e-5)
        else:
            weights = dict(mine.top)
            assert all(weights[top["value"]] == top["frequency"] for top in told["weighted_string_stats"]["top_values"])
