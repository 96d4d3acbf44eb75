"""One technique over several seeds; the params of each run, and the runs side by side."""
