"""LightGBM loads where the system has no OpenMP of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.skipif(sys.platform != "linux", reason="reads the process's memory map")
@pytest.mark.parametrize("load", ["load_lightgbm", "load_library"])
def test_lightgbm_takes_the_openmp_that_torch_brings(load: str) -> None:
    code = (
        f"from models.rerank.loading import {load}; {load}();"
        "print({line.split()[-1] for line in open('/proc/self/maps') if line.rstrip().endswith('libgomp.so.1')})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "torch/lib/libgomp.so.1" in done.stdout
    assert done.stdout.count("libgomp.so.1") == 1  # the system's was not looked for
