"""`python -m laboratory`: the program `submodel-lab`."""

from laboratory.app import main

if __name__ == "__main__":
    main()
