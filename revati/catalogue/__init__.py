"""The hardware catalogue: what every GPU that can be emulated answers, and where each figure comes from."""

from revati.catalogue.durations import durations_of
from revati.catalogue.gpu import FIELDS, CatalogueError, Gpu, UnknownGpuError, load
from revati.catalogue.registry import get, gpus

__all__ = ["FIELDS", "CatalogueError", "Gpu", "UnknownGpuError", "durations_of", "get", "gpus", "load"]
