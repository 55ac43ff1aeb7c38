"""`python -m tocsin` is the `tocsin` command."""

from tocsin.cli import main

if __name__ == "__main__":
    # Named, because click would otherwise call the program "__main__.py" in its usage texts.
    main(prog_name="tocsin")
