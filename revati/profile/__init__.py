"""Measured durations: one documented record type, the tools that collect it on a real GPU, and the packer.

The modules that run on a borrowed GPU machine import nothing beyond the standard library, torch and each other: that
machine holds no package of ours, see `scripts/gpu/bootstrap.py`.
"""
