"""Tests with several processes: one function, run once in each of them, and what each found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing


def in_ranks(run: Callable[[int, Path], Any], count: int, folder: Path) -> list[Any]:
    """Return what `run(rank, folder)` returns in each of `count` processes of a gloo group."""
    torch.multiprocessing.spawn(_run_rank, (run, count, folder), nprocs=count)
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(count)]


def _run_rank(rank: int, run: Callable[[int, Path], Any], count: int, folder: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/group", world_size=count, rank=rank)
    torch.save(run(rank, folder), folder / f"{rank}.pt")
    dist.destroy_process_group()
