"""One run, from a recipe to rows. The files in the order in which they call each other:

loop        the run as a loop over chunks of steps and evaluations
layout      what stands where in the rows: names of columns, layers, parameters
rows        from a chunk's arrays to named columns
compiled    the compiled programs of a structure: start, a chunk of steps, an evaluation
evaluate    loss and scores on a whole part of the data
step        one training step and the row measured of it
update      from a gradient to an update: penalty, clip, schedule, optimizer
gradients   loss and gradient of a batch, with or without taps
setup       the parts of a recipe, made inside the trace
checks      a recipe checked against the bounds of its parts, and its parts against each other
tasks       a recipe's data
"""
