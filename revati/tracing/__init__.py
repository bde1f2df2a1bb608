"""What the virtual GPUs did, launch by launch: read, summed up and drawn."""
