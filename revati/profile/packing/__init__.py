"""The packer: brings a framework to a machine with no network, in parts small enough for the way there."""
