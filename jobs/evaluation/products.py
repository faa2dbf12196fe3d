"""Where the products of vectors are computed: on the GPU that Spark gave the task, else on its processor."""

from __future__ import annotations

import sys

from models.evaluation.counting import Product, float_product
from models.evaluation.exact_scores import Matrix


def task_product() -> Product:
    """Return the product of this task."""
    pyspark = sys.modules.get("pyspark")
    context = None if pyspark is None else pyspark.TaskContext.get()
    gpu = None if context is None else context.resources().get("gpu")
    return float_product if gpu is None or not gpu.addresses else device_product(f"cuda:{gpu.addresses[0]}")


def device_product(device: str) -> Product:
    """Return the product by torch on a device, in full single precision: TF32 is off unless somebody turns it on."""
    import torch

    def product(query_RD: Matrix, photo_CD: Matrix) -> Matrix:
        query, photo = (torch.from_numpy(vectors).to(device) for vectors in (query_RD, photo_CD))
        found: Matrix = (query @ photo.T).cpu().numpy()
        return found

    return product
