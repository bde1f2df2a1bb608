"""Multi-head latent attention over the latent itself: all query heads share one head of 512 + 64 elements.

Keys are the whole head and values its first 512 elements, so that the cache is read once. Prompts without a prefix are
usually computed with ordinary heads instead (192 and 128 elements), which `attention.py` covers.
"""

from __future__ import annotations

import numpy as np
from revati.predictors import tables
from revati.predictors.families.attention import Attention, Decode, Prefill
from revati.predictors.kinds import DType
from revati.predictors.program import Node, at_most, raw
from revati.predictors.samples import Samples, columns

from revati.catalogue.gpu import Gpu

LATENT, ROPE = 512.0, 64.0
_REPLAYS = 20.0  # SGLang's collector


class Latent(Attention):
    """What both phases share. Only SGLang's tables time the attention alone; the kernels are the libraries'."""

    def read(self, gpu: Gpu) -> list[Samples]:
        """One model for any engine, if a table is there whose kernels work on the latent."""
        table = tables.read(gpu, "mla", "sglang", f"{self.phase}_mla_perf")
        if table is None:
            return []
        known = table.text("kernel_source") == "flash_attention"
        if self.phase == "generation":
            known |= table.text("kernel_source") == "trtllm_mla"
        table = table.take(known)
        return [self._latent_samples(gpu, table)] if len(table) > 500 else []

    def kv_bytes(self) -> Node:
        """Keys and values are the same elements."""
        return (
            raw("keys")
            * raw("kv_heads")
            * raw("head_dim")
            * (1.0 + at_most(raw("kv_dtype"), float(DType.BF16)))
        )

    def _latent_samples(self, gpu: Gpu, table: tables.Table) -> Samples:
        decode = self.phase == "generation"
        batch = table.number("batch_size")
        tokens = np.ones_like(batch) if decode else table.number("isl")
        keys = table.number("step") + 1 if decode else tokens
        pairs = keys if decode else tokens * (tokens + 1) / 2
        fp8 = table.text("kv_cache_dtype") == "fp8"
        dtype = np.where(fp8, float(DType.F8E4M3), float(DType.BF16))
        inputs = {
            "batch": batch,
            "tokens": batch * tokens,
            "pairs": batch * pairs,
            "keys": batch * keys,
            "max_keys": keys,
            "max_pairs": pairs,
            "max_tokens": tokens,
            "q_heads": table.number("num_heads"),
            "kv_heads": 1.0,
            "head_dim": LATENT + ROPE,
            "v_head_dim": LATENT,
            "q_dtype": dtype,
            "kv_dtype": dtype,
        }
        written = tables.streamed_seconds(gpu, batch * tokens * (LATENT + ROPE) * np.where(fp8, 3, 4))
        seconds = tables.kernel_seconds(
            table.number("latency"), gpu, replays=_REPLAYS, kernels=2, other=written
        )
        return Samples(
            self.name,
            self.kind,
            "",
            [columns(self.kind, len(batch), inputs)],
            seconds,
            {"head_dim": (LATENT + ROPE, LATENT + ROPE), "kv_dtype": (float(DType.F16), float(DType.F8E5M2))},
            ("batch", "max_keys", "tokens", "q_heads", "kv_heads"),
            {"batch": (batch, self.batches), "context": (keys, self.bands)},
            {
                "table": table.source,
                "timed": f"one call in a graph, {_REPLAYS:g} replays",
                "other kernels": "write of the new latents, by bytes",
            },
        )


class LatentDecode(Latent, Decode):
    """The latents stream by, once for all heads."""

    name = "attention.mla.decode"


class LatentPrefill(Latent, Prefill):
    """Many tokens at once on the latents, as behind a prefix."""

    name = "attention.mla.prefill"
