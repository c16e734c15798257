"""Data sets: a file registers its options by being in this folder."""
