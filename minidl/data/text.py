"""Text: first names, and seven plays."""

import gzip

from minidl.data import store


def names() -> list[str]:
    """Return 10,388 first names in alphabetical order: lower case a-z, 2 to 15 letters.

    Source: US Census 1990 and Grady Ward's Moby Word II. Licence: public domain.
    Raises: DataError if the file is damaged.
    """
    return _read("names.txt.gz").splitlines()


def shakespeare() -> str:
    """Return seven plays by Shakespeare as one string of 894,216 ASCII characters.

    Hamlet, Macbeth, Romeo and Juliet, A Midsummer Night's Dream, Coriolanus, Julius Caesar, The Tempest.
    Source: Project Gutenberg. Licence: public domain.
    Raises: DataError if the file is damaged.
    """
    return _read("shakespeare.txt.gz")


def _read(name: str) -> str:
    return gzip.decompress(store.embedded(name).read_bytes()).decode("ascii")
