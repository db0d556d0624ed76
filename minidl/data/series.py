"""Quantities measured over time."""

from typing import NamedTuple

import numpy as np

from minidl.data import store


class Series(NamedTuple):
    """Values (T,) float32 at times (T,) datetime64, with their unit and a title for the plot."""

    time: np.ndarray
    value: np.ndarray
    unit: str
    title: str


def series(name: str) -> Series:
    """Return a series: "sunspots", "co2" or "temperature".

    - sunspots: the sunspot number of 309 years, 1700-2008. A cycle of about eleven years.
    - co2: 2,284 weeks at Mauna Loa, 1958-2001, in parts per million. A trend with seasons;
      the 59 weeks without a measurement are NaN.
    - temperature: 8,759 hours in Seattle, in degrees Fahrenheit. Days within a year. Its dates say 2010,
      but it is far smoother than weather (no hour differs from the same hour of the day before by more
      than 0.7 degrees): a mean over many years. The hour at which clocks go forward is left out.

    Raises: ValueError for another name; DataError if the file is damaged.
    Source: NOAA (sunspots, temperature); Keeling and Whorf (2004), Scripps (co2). Licence: public domain.
    """
    if name not in _READ:
        raise ValueError(f"series: no series is named {name!r}; choose one of {', '.join(sorted(_READ))}.")
    with np.load(store.embedded("series.npz"), allow_pickle=False) as arrays:
        return _READ[name](arrays)


def _sunspots(arrays) -> Series:
    year, value = arrays["sunspots"].T
    time = np.array([f"{int(y)}" for y in year], "datetime64[Y]")
    return Series(time, value.copy(), "sunspot number", "Sunspots, yearly")


def _co2(arrays) -> Series:
    days = [f"{date[:4]}-{date[4:6]}-{date[6:]}" for date in arrays["co2_date"].astype(str)]
    time = np.array(days, "datetime64[D]")
    return Series(time, arrays["co2"], "ppm", "Carbon dioxide at Mauna Loa, weekly")


def _temperature(arrays) -> Series:
    hours = np.arange("2010-01-01T00", "2011-01-01T00", dtype="datetime64[h]")
    time = hours[hours != np.datetime64("2010-03-14T03", "h")]
    value = arrays["seattle_hourly_temp"]
    return Series(time, value, "°F", "Temperature in Seattle, hourly, mean of many years")


_READ = {"sunspots": _sunspots, "co2": _co2, "temperature": _temperature}
