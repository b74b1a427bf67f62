"""``python -m dynwork``, and the command ``dynwork``: the command line."""

import sys


def main() -> None:
    """Run it. It is loaded here: Ctrl-C while it is ends quietly too."""
    try:
        from dynwork.cli import main as run

        run()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
