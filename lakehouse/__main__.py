"""``python -m lakehouse``: the command line without its script."""

from __future__ import annotations

from lakehouse.cli import main

if __name__ == "__main__":
    main()
