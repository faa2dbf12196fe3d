"""The sample catalogue: a small world of drawn photos and people who search them, in the Unsplash layout.

`make_sample(folder)` writes it: pictures below `photos/`, the six tables, and `sample.json` with the truth (seed,
rows, last complete day, how looking falls off down a list, every fault put in). Equal size and seed give equal bytes;
nothing depends on the clock.

What is simulated, module by module:

- `drawing`: 75 kinds of things (`things.txt`) in 12 scenes, times of day and styles, and 8 patterns, all drawn here.
- `words`: what people call them, in six languages.
- `world`: the photos. They arrive over a year, ever faster, until the last day of the log. Besides what is visible,
  each has hidden labels (place, occasion, season, theme, brand) that its photographer knows and keywords tell, but
  pixels and descriptions do not. Keywords: 8 % missing, some wrong with low confidence, a third of the photos with
  further languages. Descriptions are English, tell only what is visible, and one in ten is null.
- `countries`, `visitors`: eight countries with languages, hours and taste; most visitors come once, a few up to
  60 times, with tastes and favourite subjects of their own; searches have a daily and weekly rhythm.
- `wishes`: what is searched: a thing, with a colour, scene or style; a scene; a pattern; about a quarter of the
  queries hold a hidden word. Many words mean other things in other countries (football, taxi, bus, train, house,
  castle, mailbox, money, flag, breakfast, tea, bread, chips). Things that fly rise in the last two weeks.
- `choices`: which photo is taken, by popularity, the country's reading and taste, newness, place on the result page
  and the visitor's taste; and the ceiling, which is the hit rate of the simulator itself.
- `impressions`: what visitors were shown before they took something, by two rankings or
  shuffled, and what they clicked: looked at is place n of a list n ** -0.25 times as often as the first, clicked what
  is looked at and appeals.
- `faults`: a few damaged rows of every kind among the conversions.
- `pixels`, `tables`, `make`: colours from the pixels; rows; files.

The numbers measured on it say something about this world only.
"""

from jobs.sample.make import DEFAULT_SEED, LAST_COMPLETE_DAY, TINY, Fault, SampleInfo, SampleSize, make_sample

__all__ = ["DEFAULT_SEED", "LAST_COMPLETE_DAY", "TINY", "Fault", "SampleInfo", "SampleSize", "make_sample"]
