"""Where a released search shows a photo that somebody took: by its picture, and nowhere if it does not know it."""

from __future__ import annotations

from typing import Any

import numpy as np

from models.evaluation.ranking import NOT_FOUND, tie_order
from models.rerank.live import Catalogue, FoundPhoto

NAMES = [f"photo {number}" for number in range(5)]
NAMES = [NAMES[place] for place in tie_order(NAMES)]
TABLES: Any = None  # nothing is searched


def test_a_photo_is_where_it_lies_and_one_that_is_not_there_is_nowhere() -> None:
    catalogue = Catalogue.of(NAMES, np.arange(5), TABLES)
    assert catalogue.places([NAMES[3], "new", NAMES[0], NAMES[4]]).tolist() == [3, -1, 0, 4]
    assert catalogue.places([]).tolist() == []


def test_a_photo_is_found_where_the_first_of_its_picture_stands() -> None:
    catalogue = Catalogue.of(NAMES, np.array([0, 1, 1, 3, 4]), TABLES)  # the second and third are one picture
    lists = [["3", "1"], ["3", "1"], ["3", "1"], ["0"], [], ["0", "1", "2"]]
    found = [[FoundPhoto(NAMES[int(place)], 1.0) for place in one] for one in lists]
    wanted = [NAMES[3], NAMES[1], NAMES[2], "new", NAMES[0], NAMES[4]]
    assert catalogue.ranks(found, wanted).tolist() == [1, 2, 2, NOT_FOUND, NOT_FOUND, NOT_FOUND]
