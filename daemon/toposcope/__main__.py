"""`python -m toposcope` is the same program as `toposcope`."""

from toposcope.cli import main

if __name__ == "__main__":
    main()
