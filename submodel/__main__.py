"""`python -m submodel`."""

from submodel.app import main

if __name__ == "__main__":
    main()
