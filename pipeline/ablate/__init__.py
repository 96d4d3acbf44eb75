"""Train with each technique and compare it with the baseline."""
