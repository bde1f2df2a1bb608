"""The hardware catalogue: what every GPU that can be emulated answers, and where each figure comes from."""

from revati.catalogue.durations import durations_of
from revati.catalogue.gpu import FIELDS, CatalogueError, Gpu, UnknownGpuError, load
from revati.catalogue.network import DEFAULT_NETWORK, Network, UnknownNetworkError, get_network, networks
from revati.catalogue.registry import get, gpus

__all__ = [
    "DEFAULT_NETWORK",
    "FIELDS",
    "CatalogueError",
    "Gpu",
    "Network",
    "UnknownGpuError",
    "UnknownNetworkError",
    "durations_of",
    "get",
    "get_network",
    "gpus",
    "load",
    "networks",
]
