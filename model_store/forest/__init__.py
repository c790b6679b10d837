"""The packed forest: arrays and kernels."""
