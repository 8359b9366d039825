"""The doors for programs of other systems. What they do is tested beside those systems, in `tests/mlmd`."""

import sys

import pytest


def test_the_mlmd_client_names_the_extra_it_lacks(monkeypatch):
    monkeypatch.setitem(sys.modules, "ml_metadata", None)  # as where it is not installed
    monkeypatch.delitem(sys.modules, "lakehouse.compat.mlmd", raising=False)
    with pytest.raises(ImportError, match=r"pip install 'lakehouse\[mlmd\]'"):
        import lakehouse.compat.mlmd  # noqa: F401
