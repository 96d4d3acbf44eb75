"""What a trained model is worth: metrics, intervals, plots."""
