"""Pictures drawn with Pillow: scenes, patterns, and 75 kinds of things, each in many looks.

`render(look)` gives the picture of a `Look`; equal looks give equal pixels.
"""

from jobs.sample.drawing.kinds import COLOURS, KINDS, Kind
from jobs.sample.drawing.patterns import PATTERNS
from jobs.sample.drawing.render import PLAIN, STYLES, Look, render
from jobs.sample.drawing.scenes import HOURS, SCENES

__all__ = ["COLOURS", "HOURS", "KINDS", "PATTERNS", "PLAIN", "SCENES", "STYLES", "Kind", "Look", "render"]
