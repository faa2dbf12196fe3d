"""Reading data sets in the Unsplash layout: files and columns, records, the end of the log. No Spark session here."""

from jobs.ingest.log_end import last_complete_day, last_plausible_day
from jobs.ingest.source import Source, find_source

__all__ = ["Source", "find_source", "last_complete_day", "last_plausible_day"]
