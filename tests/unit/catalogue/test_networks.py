from __future__ import annotations

from pathlib import Path

import pytest

from revati import catalogue
from revati._native import Estimator

FILE = """
[all]
source = "made up"
nics = 4
bandwidth = 1e9
hop_ns = 10_000
host_latency_ns = 50_000
host_bandwidth = 1e9
"""


def test_every_figure_has_a_source() -> None:
    assert catalogue.DEFAULT_NETWORK in catalogue.networks()
    for network in catalogue.networks().values():
        assert set(network.sources) == set(network.values)
        assert all("no source given" not in source for source in network.sources.values())
        assert catalogue.get_network(network.aliases[0].upper()) is network


def test_a_file_and_what_is_wrong_with_it(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text(FILE)
    assert catalogue.get_network(str(path)).host_latency_ns == 50_000
    for number, (old, new, said) in enumerate(
        [("nics = 4\n", "", "missing nics"), ("nics", "nix", "unknown key nix"), ("= 4", "= 0", "at least 1")]
    ):
        wrong = tmp_path / f"wrong{number}.toml"
        wrong.write_text(FILE.replace(old, new))
        with pytest.raises(catalogue.CatalogueError, match=said):
            catalogue.get_network(str(wrong))
    with pytest.raises(catalogue.UnknownNetworkError, match="infiniband"):
        catalogue.get_network("infinibant")


def estimator(network: str) -> Estimator:
    return Estimator(catalogue.get("h200-sxm").device_conf(8) + catalogue.get_network(network).device_conf(4))


def test_collectives_across_nodes() -> None:
    fast, slow = estimator("infiniband-ndr"), estimator("ethernet-100")
    kinds = (
        "all_reduce",
        "all_gather",
        "reduce_scatter",
        "broadcast",
        "reduce",
        "all_to_all",
        "send",
        "recv",
    )
    for kind in kinds:
        ranks = 2 if kind in {"send", "recv"} else 16
        for size in (8, 4096, 1 << 20, 1 << 28):
            across, source, family, _ = fast.collective(kind, ranks, size, nodes=2)
            assert (source, family) == ("roofline", "collective")
            assert across > fast.collective(kind, ranks, size)[0]
            assert slow.collective(kind, ranks, size, nodes=2)[0] > across
            assert fast.collective(kind, ranks, 2 * size, nodes=2)[0] >= across
    # 1 GiB to one GPU: 80 % of 50 GB/s. Eight adapters carry what eight ranks of a node reduce.
    one = fast.collective("send", 2, 1 << 30, nodes=2)[0]
    assert one == pytest.approx((1 << 30) / 40, rel=0.02)
    ring = fast.collective("all_reduce", 16, 1 << 30, nodes=2)[0]
    assert ring == pytest.approx(2 * (1 << 30) * 15 / 16 / 320, rel=0.02)
    two_each = fast.collective("all_reduce", 4, 1 << 30, nodes=2)[0]
    assert two_each == pytest.approx(2 * (1 << 30) * 3 / 4 / 80, rel=0.02)
    # More nodes, more hops.
    assert fast.collective("all_reduce", 32, 8, nodes=4)[0] > fast.collective("all_reduce", 16, 8, nodes=2)[0]


def test_a_network_needs_its_figures() -> None:
    conf = catalogue.get("h200-sxm").device_conf(8) + "nodes = 2\n"
    with pytest.raises(ValueError, match=r"network\."):
        Estimator(conf)
