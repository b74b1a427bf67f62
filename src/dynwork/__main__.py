"""``python -m dynwork``: the command line."""

from dynwork.cli import main

if __name__ == "__main__":
    main()
