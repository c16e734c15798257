"""A stored run in the files of other tools: what `gradlab export` writes.

scalars      every exported number by its tag, step by step
folders      a folder that is complete or absent under its name
tensorboard  event files
wandb        offline runs of Weights & Biases
"""
