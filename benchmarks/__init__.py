"""Measurements at full size, and what they found, in `results/`."""
