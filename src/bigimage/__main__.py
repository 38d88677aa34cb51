"""`python -m bigimage` is `bigimage`."""

from bigimage.cli import main

if __name__ == "__main__":
    main()
