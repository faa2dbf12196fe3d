"""Many small pictures in one: a sheet of square tiles, which a page holds once and shows piece by piece."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass

from PIL import Image

TILE = 64
"""Side of a tile in pixels."""
QUALITY = 60


@dataclass(frozen=True)
class Sheet:
    """The tiles of some photos. `places` are columns and rows of the sheet, by photo; `src` is a data URI, or empty."""

    src: str
    columns: int
    rows: int
    places: dict[str, tuple[int, int]]

    def position(self, photo_id: str) -> str | None:
        """Return a photo's place as `background-position` has it, in percent; None where it has no tile."""
        if photo_id not in self.places:
            return None
        column, row = self.places[photo_id]
        across, down = (100 * at / max(1, count - 1) for at, count in ((column, self.columns), (row, self.rows)))
        return f"{across:.4g}% {down:.4g}%"


def sheet(pictures: Mapping[str, Image.Image]) -> Sheet:
    """Return a WebP sheet of pictures (RGB), each whole in its tile, in the order given."""
    if not pictures:
        return Sheet("", 1, 1, {})
    columns = math.ceil(math.sqrt(len(pictures)))
    rows = math.ceil(len(pictures) / columns)
    whole = Image.new("RGB", (columns * TILE, rows * TILE), "white")
    places = {}
    for number, (photo_id, picture) in enumerate(pictures.items()):
        small = picture.copy()
        small.thumbnail((TILE, TILE), Image.Resampling.LANCZOS)
        row, column = divmod(number, columns)
        left, top = ((TILE - side) // 2 for side in small.size)
        whole.paste(small, (column * TILE + left, row * TILE + top))
        places[photo_id] = (column, row)
    buffer = io.BytesIO()
    whole.save(buffer, "WEBP", quality=QUALITY, method=4)
    return Sheet("data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode(), columns, rows, places)
