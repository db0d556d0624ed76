"""The series have a value for each time, in order."""

import numpy as np
import pytest

from minidl import data


@pytest.mark.parametrize(
    ("name", "count", "first", "last", "unit"),
    [
        ("sunspots", 309, "1700", "2008", "sunspot number"),
        ("co2", 2284, "1958-03-29", "2001-12-29", "ppm"),
        ("temperature", 8759, "2010-01-01T00", "2010-12-31T23", "°F"),
    ],
)
def test_series_is_ordered_and_complete(name, count, first, last, unit):
    series = data.series(name)
    assert series.time.shape == series.value.shape == (count,)
    assert (str(series.time[0]), str(series.time[-1]), series.unit) == (first, last, unit)
    assert (np.diff(series.time).astype(int) > 0).all()
    assert series.value.dtype == np.float32
    assert np.isnan(series.value).sum() == (59 if name == "co2" else 0)
    assert series.title


def test_measurements_are_the_known_ones():
    sunspots, co2 = data.series("sunspots"), data.series("co2")
    assert str(sunspots.time[sunspots.value.argmax()]) == "1957"  # the strongest cycle on record
    assert 315 < np.nanmean(co2.value[:52]) < 317
    assert 370 < np.nanmean(co2.value[-52:]) < 372


def test_unknown_name_is_answered_with_the_known_ones():
    with pytest.raises(ValueError, match="'snow'; choose one of co2, sunspots, temperature"):
        data.series("snow")
