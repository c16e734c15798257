"""Engines: what carries the recipes of a grid, each in a file; all that they know is a batch of recipes."""
