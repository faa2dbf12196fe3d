"""The peer's half of the index benchmark: needs autofaiss, numpy and faiss, nothing of this project.

`python autofaiss_peer.py FOLDER CORES` reads FOLDER/vectors/*.npy, writes FOLDER/peer.faiss and prints what it took.
"""

import json
import sys
import time
from pathlib import Path

import autofaiss
import faiss

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    begun = time.perf_counter()
    index, infos = autofaiss.build_index(
        str(folder / "vectors"),
        save_on_disk=False,  # with a numpy of today it cannot write its own figures
        metric_type="ip",
        max_index_memory_usage="4GB",
        current_memory_available="8GB",
        nb_cores=int(sys.argv[2]),
        verbose=40,
    )
    faiss.write_index(index, str(folder / "peer.faiss"))
    found = {"seconds": time.perf_counter() - begun, "key": infos["index_key"], "param": infos["index_param"]}
    print(json.dumps(found))
