"""What host work costs in virtual time: the prices, and how `revati calibrate` measures them."""
