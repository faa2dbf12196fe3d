"""The plain way to rank: all scores of a search at once, sorted. What is computed block by block is held against it."""

from __future__ import annotations

import numpy as np

from models.evaluation.ranking import NOT_FOUND, Availability


def plain_list(score_P: np.ndarray, text: int, asked_at: int, availability: Availability) -> list[int]:
    """Return the photos that a search lists, best first: candidates alone, each picture once."""
    is_shown_P = availability.shown(np.array([text]), np.array([asked_at]))[0]
    pictures, listed = set(), []
    for place in sorted(np.flatnonzero(is_shown_P), key=lambda place: (-score_P[place], place)):
        if availability.pictures[place] not in pictures:
            pictures.add(availability.pictures[place])
            listed.append(int(place))
    return listed


def rank_targets(
    score_UP: np.ndarray, text_Q: np.ndarray, target_Q: np.ndarray, asked_at_Q: np.ndarray, availability: Availability
) -> np.ndarray:
    """Return the rank of each search's photo, shape (Q,), by whichever photo shows its picture."""
    ranks = []
    for text, target, asked_at in zip(text_Q, target_Q, asked_at_Q, strict=True):
        if not availability.shows(np.array([target]), np.array([text]), np.array([asked_at]))[0]:
            ranks.append(NOT_FOUND)
            continue
        pictures = availability.pictures[plain_list(score_UP[text], text, asked_at, availability)]
        ranks.append(1 + pictures.tolist().index(availability.pictures[target]))
    return np.array(ranks)
