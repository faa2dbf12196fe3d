"""The processes that train one model together: who one is, and the few things they exchange.

Every method is a collective call: all processes make it, in the same order. Alone it costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
import torch.distributed as dist

from models.search.losses.distributed import gather_lists


@dataclass(frozen=True)
class World:
    """One of `size` processes of the default process group; `device` is where what is exchanged has to lie."""

    rank: int = 0
    size: int = 1
    device: str = "cpu"

    @classmethod
    def joined(cls, device: str) -> World:
        """Return the world of the process group that was joined before."""
        return cls(dist.get_rank(), dist.get_world_size(), device)

    @property
    def is_first(self) -> bool:
        """Whether this is the process that validates, reports and keeps checkpoints."""
        return self.rank == 0

    def total(self, values: Sequence[float]) -> list[float]:
        """Return each number summed over the processes, in double precision."""
        if self.size == 1:
            return list(values)
        numbers = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.all_reduce(numbers)
        return [float(number) for number in numbers]

    def highest(self, values: Sequence[float]) -> list[float]:
        """Return the highest of each number over the processes, in double precision."""
        if self.size == 1:
            return list(values)
        numbers = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.all_reduce(numbers, dist.ReduceOp.MAX)
        return [float(number) for number in numbers]

    def from_first(self, values: Sequence[float]) -> list[float]:
        """Return the numbers of the first process; the others give as many of any value."""
        if self.size == 1:
            return list(values)
        numbers = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.broadcast(numbers, src=0)
        return [float(number) for number in numbers]

    @torch.no_grad()
    def gather(self, vectors: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Return, for each vector, those of all processes one after the other; the vectors have the same type."""
        if self.size == 1:
            return list(vectors)
        return [torch.cat(of_ranks) for of_ranks in gather_lists([vector.to(self.device) for vector in vectors])]

    @torch.no_grad()
    def same_weights(self, tensors: Iterable[torch.Tensor]) -> None:
        """Give all processes the tensors of the first."""
        if self.size > 1:
            for tensor in tensors:
                dist.broadcast(tensor.data, src=0)

    @torch.no_grad()
    def sum_gradients(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Sum every gradient over the processes; of a sparse one, the rows that any of them has.

        A parameter without a gradient in some processes counts as zero there. Dense gradients travel together.
        """
        if self.size == 1:
            return
        trained = [parameter for parameter in parameters if parameter.requires_grad]
        is_sparse = self._sparse_ones(trained)
        dense = [parameter for parameter, sparse in zip(trained, is_sparse, strict=True) if not sparse]
        for parameter in dense:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        if dense:
            gradients = [parameter.grad for parameter in dense if parameter.grad is not None]
            packed = torch.cat([gradient.reshape(-1) for gradient in gradients])
            dist.all_reduce(packed)
            for gradient, part in zip(gradients, packed.split([g.numel() for g in gradients]), strict=True):
                gradient.copy_(part.view_as(gradient))
        for parameter, sparse in zip(trained, is_sparse, strict=True):
            if sparse:
                parameter.grad = self._summed_rows(parameter)

    def _sparse_ones(self, parameters: list[torch.nn.Parameter]) -> list[bool]:
        own = [float(parameter.grad is not None and parameter.grad.is_sparse) for parameter in parameters]
        return [count > 0 for count in self.total(own)]

    def _summed_rows(self, parameter: torch.nn.Parameter) -> torch.Tensor:
        """Return the sum of the processes' sparse gradients: each sends its rows and their numbers."""
        own = (torch.zeros_like(parameter).to_sparse(1) if parameter.grad is None else parameter.grad).coalesce()
        counts = torch.zeros(self.size, dtype=torch.int64, device=parameter.device)
        counts[self.rank] = own.indices().shape[1]
        dist.all_reduce(counts)
        longest = int(counts.max())
        rows = own.indices().new_zeros(longest)
        values = own.values().new_zeros((longest, *parameter.shape[1:]))
        rows[: own.indices().shape[1]] = own.indices()[0]
        values[: len(own.values())] = own.values()
        every_row, every_value = ([torch.empty_like(part) for _ in range(self.size)] for part in (rows, values))
        dist.all_gather(every_row, rows)
        dist.all_gather(every_value, values)
        kept = list(zip(every_row, every_value, counts.tolist(), strict=True))
        indices = torch.cat([row[:count] for row, _, count in kept])[None]
        numbers = torch.cat([value[:count] for _, value, count in kept])
        return torch.sparse_coo_tensor(indices, numbers, parameter.shape, check_invariants=False).coalesce()


ALONE = World()
