"""One module per sub-command; each holds `command`."""
