"""docs/SCALING.md says what its figures come to."""

from __future__ import annotations

import pytest

from jobs.config.settings import PROJECT_ROOT
from tests.benchmarks import capacity

PAGE = (PROJECT_ROOT / "docs" / "SCALING.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", capacity.TABLES)
def test_the_page_has_the_table_that_is_computed(name: str) -> None:
    assert capacity.TABLES[name]() in PAGE, "run `python -m tests.benchmarks.capacity` and put its table on the page"


def test_a_night_costs_what_its_parts_do() -> None:
    site = capacity.Site("", photos=2e6, conversions=3e6, ranked_searches=500, workers=2, cores=4, gpus=2)
    works = {work.stage: work for work in capacity.night(site, is_first=True)}
    assert works["split_temporal"].cpu_seconds == pytest.approx(5 + 3 * 3.5)
    assert works["split_temporal"].hours(site) == pytest.approx((5 + 3 * 3.5) / 4 / 3600)
    assert works["validate_logs"].cpu_seconds == pytest.approx(5 + 21 * 4.3)
    large = capacity.Site("", photos=2e6, conversions=300e6, ranked_searches=500, workers=2, cores=4, gpus=2)
    by_spark = {work.stage: work for work in capacity.night(large, is_first=False)}
    assert by_spark["split_temporal"].hours(large) == pytest.approx((20 + 300 * 25.8) / 8 / 3600)
    new = 300 / 365 + 18 * 0.001
    assert by_spark["validate_logs"].cpu_seconds == pytest.approx(20 + 12.9 * new + 8.1 * (318 - new))
    # two arms' pictures, 35.4 GFLOP each at 100 TFLOP/s, on two GPUs
    assert works["embed_photos"].gpu_seconds == pytest.approx(2 * 2e6 * 35.4e9 / 100e12)
    later = {work.stage: work for work in capacity.night(site, is_first=False, moves_images=False)}
    assert later["embed_photos"].gpu_seconds == pytest.approx(2e6 * 0.001 * 35.4e9 / 100e12)
    assert later["evaluate"].cpu_seconds == works["evaluate"].cpu_seconds
