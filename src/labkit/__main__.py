"""`python -m labkit`, and what the `labkit` program runs."""

from __future__ import annotations

import sys

from labkit import __version__


def main() -> int:
    """Run labkit and return its exit code."""
    if sys.argv[1:] == ["--version"]:
        # Answered before Typer is imported: 10 ms, not 60.
        try:
            sys.stdout.write(f"labkit {__version__}\n")
            sys.stdout.flush()
        except (AttributeError, OSError):
            pass  # closed, or its disk is full: the long way says so
        else:
            return 0
    try:
        from labkit.cli.app import main as run
    except KeyboardInterrupt:
        return 130
    return run()


if __name__ == "__main__":
    sys.exit(main())
