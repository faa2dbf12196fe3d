"""The program: `nightlens`, or `python -m jobs`."""

import logging
import os
import sys
from typing import NoReturn

from jobs.commands.main import main


def run() -> NoReturn:
    """Run one command, and leave the process as soon as it is done.

    Every command closes what it opens. Taking the libraries apart would add a second to a search and seconds to each
    stage of a night.
    """
    status = main()
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    run()
