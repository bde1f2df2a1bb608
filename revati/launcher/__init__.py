"""Starts commands with virtual GPUs: what they need in their environment, and nothing left behind after them."""
