"""First thing `make` runs, before anything is installed: is this machine fit? Standard library only.

Kept to syntax that old Pythons read, so that a too old one gets a sentence and not a traceback.
"""

import os
import shutil
import sys

MIN_PYTHON = (3, 11)
MIN_FREE_GB_TO_INSTALL = 12
MIN_FREE_GB_TO_RUN = 2
MIN_MEMORY_GB = 6


def find_fault(version, free_gb, memory_gb, is_installed):
    """Return the one sentence that says what to do, or None if the machine will do."""
    if tuple(version[:2]) < MIN_PYTHON:
        return "Python {}.{} is too old: install Python {}.{} or newer and run: make PYTHON=python3.12 ...".format(
            version[0], version[1], MIN_PYTHON[0], MIN_PYTHON[1]
        )
    wanted = MIN_FREE_GB_TO_RUN if is_installed else MIN_FREE_GB_TO_INSTALL
    if free_gb < wanted:
        return "only {:.1f} GB of disk are free here, {} GB are needed: free some, or clone to a larger disk.".format(
            free_gb, wanted
        )
    if memory_gb < MIN_MEMORY_GB:
        return "this machine has {:.1f} GB of memory, {} GB are needed: use a larger one.".format(
            memory_gb, MIN_MEMORY_GB
        )
    return None


def measure_memory_gb():
    """Return the physical memory in GB, or infinity where the system does not tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    except (ValueError, OSError, AttributeError):
        return float("inf")


def main():
    """Print the fault, if any; return the exit status."""
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    free_gb = shutil.disk_usage(root).free / 1e9 if hasattr(shutil, "disk_usage") else float("inf")
    is_installed = os.path.exists(os.path.join(root, ".venv", ".synced"))
    fault = find_fault(sys.version_info, free_gb, measure_memory_gb(), is_installed)
    if fault:
        sys.stderr.write("nightlens: " + fault + "\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
