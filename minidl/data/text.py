"""Text: first names, a dictionary of pronunciations, and seven plays."""

import gzip

from minidl.data import store


def names() -> list[str]:
    """Return 10,388 first names in alphabetical order: lower case a-z, 2 to 13 letters.

    Source: US Census 1990 and Grady Ward's Moby Word II. Licence: public domain.
    Raises: DataError if the file is damaged.
    """
    return _read("names.txt.gz").splitlines()


def pronunciations() -> list[tuple[str, tuple[str, ...]]]:
    """Return 30,000 English words with their phonemes: ("light", ("L", "AY", "T")).

    Words have 3 to 10 letters a-z and stand in alphabetical order; the 39 phonemes are ARPABET's, without
    stress marks. Source: CMU Pronouncing Dictionary, a drawn part. Licence: BSD-2-Clause.
    Raises: DataError if the file is damaged.
    """
    pairs = (line.split("\t") for line in _read("cmudict.tsv.gz").splitlines())
    return [(word, tuple(phonemes.split())) for word, phonemes in pairs]


def shakespeare() -> str:
    """Return seven plays by Shakespeare as one string of 894,216 ASCII characters.

    Hamlet, Macbeth, Romeo and Juliet, A Midsummer Night's Dream, Coriolanus, Julius Caesar, The Tempest.
    Source: Project Gutenberg. Licence: public domain.
    Raises: DataError if the file is damaged.
    """
    return _read("shakespeare.txt.gz")


def _read(name: str) -> str:
    return gzip.decompress(store.embedded(name).read_bytes()).decode("ascii")
