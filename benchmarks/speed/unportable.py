"""This pipeline with `train.portable: false`, to see what it costs."""

from benchmarks.speed.bluelight import main

if __name__ == "__main__":
    main(portable=False)
