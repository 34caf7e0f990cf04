"""`python -m remora`: the command, where its script is not on the path."""

from remora.cli.main import main

if __name__ == "__main__":
    main()
