"""``python -m goodpart`` is the goodpart command."""

from __future__ import annotations

from goodpart.cli.app import main

if __name__ == "__main__":
    main()
