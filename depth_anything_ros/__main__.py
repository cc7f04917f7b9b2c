"""`python -m depth_anything_ros` is the command `depth_anything`."""

from depth_anything_ros.cli.main import main

if __name__ == "__main__":
    main()
