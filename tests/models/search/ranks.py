"""Tests with several processes: one function, run once in each of them, and what each found.

They are forked off a process that has loaded torch and has done nothing with it: loading it in each took most of the
time. Of this process none can be forked, because torch has threads here.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import multiprocessing


def in_ranks(run: Callable[[int, Path], Any], count: int, folder: Path) -> list[Any]:
    """Return what `run(rank, folder)` returns in each of `count` processes of a gloo group."""
    multiprocessing.set_forkserver_preload(["__main__", "tests.models.search.conftest"])
    multiprocessing.start_processes(_run_rank, (run, count, folder), nprocs=count, start_method="forkserver")
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(count)]


def _run_rank(rank: int, run: Callable[[int, Path], Any], count: int, folder: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/group", world_size=count, rank=rank)
    torch.save(run(rank, folder), folder / f"{rank}.pt")
    dist.destroy_process_group()
