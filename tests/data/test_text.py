"""Names, pronunciations and plays are what their docstrings say."""

import re

from minidl import data


def test_names():
    names = data.names()
    assert len(names) == len(set(names)) == 10388
    assert names == sorted(names)
    assert all(re.fullmatch("[a-z]{2,15}", name) for name in names)
    assert {"emma", "olivia", "walter"} <= set(names)


def test_pronunciations():
    pairs = data.pronunciations()
    words = [word for word, _ in pairs]
    assert len(set(words)) == 30000 and words == sorted(words)
    assert all(re.fullmatch("[a-z]{3,10}", word) for word in words)
    assert len({phoneme for _, phonemes in pairs for phoneme in phonemes}) == 39
    assert dict(pairs)["aaron"] == ("EH", "R", "AH", "N")
    assert all(1 <= len(phonemes) <= 11 for _, phonemes in pairs)


def test_shakespeare():
    plays = data.shakespeare()
    assert len(plays) == 894216
    assert plays.isascii()
    assert "\r" not in plays and "\n\n\n" not in plays
    assert all(line in plays for line in ("To be, or not to be", "Out, out, brief candle", "Et tu, Brute"))
