"""Foreign runs, which gradlab has not trained: read from the logs of other programs, or recorded in a user's own loop.

recorder        `Recorder`: rows as a training loop gives them
ingest          a file or folder into the folder of a run
formats         which kind of log a file is, and its columns as a log
tensorboard     event files, by the real library
log             columns into steps and layers: one value for each, in order
roles           what a column is, by its name or as its user says
tables          the columns of CSV, JSONL and Parquet files, read in pieces
layer_order     the order of layers: that of appearance, numbers by size
known           what a user says of the run, as parts of a recipe
foreign_writer  the one writer of all of these
"""
