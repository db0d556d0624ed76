"""Interactive pictures that belong to one notebook, one file a notebook."""
