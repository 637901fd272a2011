"""``python -m transferkit`` is the command ``transferkit``."""

from transferkit_cli.main import main

if __name__ == "__main__":
    main()
