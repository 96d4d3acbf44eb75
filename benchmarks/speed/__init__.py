"""How long a training epoch takes, against a floor and two usual ways; see `docs/speed.md`."""
