"""A page on this machine on which to try a model: answers, what they rest on, augmentation."""
