"""From a trained network to what its users get: ONNX and a model card."""
