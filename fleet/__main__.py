"""`python -m fleet`: the program `submodel-fleet`."""

from fleet.app import main

if __name__ == "__main__":
    main()
