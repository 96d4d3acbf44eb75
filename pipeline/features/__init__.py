"""What the MLP sees: pixels, HOG with colours, or the vectors of a pretrained backbone."""
