"""`python -m jobs`: what the console script `nightlens` does, in a process that leaves as soon as it is done."""

import logging
import os
import sys

from jobs.commands.main import main

status = main()
logging.shutdown()
sys.stdout.flush()
sys.stderr.flush()
# Every command closes what it opens; taking the libraries apart would add seconds to each stage of a night.
os._exit(status)
