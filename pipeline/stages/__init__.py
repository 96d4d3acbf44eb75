"""One thin module per DVC stage: read inputs, call the rooms, write outputs."""
