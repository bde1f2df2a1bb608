"""Several hosts as one virtual time: the coordinator that all of them ask, and the agent of each (docs/ranks.md)."""
