"""Answers to the exercises, one file a notebook: RIGHT ones, and WRONG ones with what the check says."""
