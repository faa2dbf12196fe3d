"""Reading data sets in the Unsplash layout: files and columns, records, the end of the log. No Spark session here."""

from jobs.reading.layout import Source, find_source
from jobs.reading.log_days import last_complete_day, last_plausible_day

__all__ = ["Source", "find_source", "last_complete_day", "last_plausible_day"]
