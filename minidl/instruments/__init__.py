"""Instruments for looking into a model: its layers, its work, its numbers, the first nan."""

from minidl.autograd import detect_anomaly
from minidl.instruments.counting import FlopCounter, Work
from minidl.instruments.statistics import Statistics
from minidl.instruments.summary import summary

__all__ = ["FlopCounter", "Statistics", "Work", "detect_anomaly", "summary"]
