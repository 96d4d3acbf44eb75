"""Train with each technique, cross-fitted."""
