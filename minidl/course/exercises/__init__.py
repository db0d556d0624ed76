"""The exercises, one file a notebook (`n01_mcculloch_pitts.py` ...), each with a list `EXERCISES`."""
