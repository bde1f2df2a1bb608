"""Models without weights: the published configuration of each, and a tokenizer made here that needs no network."""

from revati.models.skeleton import Skeleton, create, get, names, resolve

__all__ = ["Skeleton", "create", "get", "names", "resolve"]
