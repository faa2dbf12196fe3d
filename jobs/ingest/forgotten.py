"""The visitors whose rows are left out whenever a log is read. `nightlens forget` puts them on the list."""

from __future__ import annotations

from jobs.lake.files import LakeFiles, Store

LIST = "forgotten"


def forgotten_list(lake: LakeFiles) -> Store:
    """Return the list: one file per visitor, named by pseudonym."""
    return lake.store(LIST)


def forgotten(lake: LakeFiles) -> list[str]:
    """Return the pseudonyms, sorted."""
    return [name.removesuffix(".json") for name in forgotten_list(lake).names(".json")]
