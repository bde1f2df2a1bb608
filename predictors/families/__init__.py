"""The families of GPU work that models are trained for."""
