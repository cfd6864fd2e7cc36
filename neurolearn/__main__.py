"""``python -m neurolearn``: the command line."""

from neurolearn.cli import main

if __name__ == "__main__":
    main()
