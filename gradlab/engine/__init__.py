"""One run, from a recipe to rows. Each file imports only from files listed below it.

To read one training step from top to bottom: loop.train, loop._run_chunk, compiled._compile, seed_programs.chunk,
seed_programs._scan_body, seed_programs._step_on_batch, step.train_step, gradients.loss_and_grads, nn/chain.forward,
update.compute_update, step._row.

rows             from a chunk's arrays to the named columns of the tables
prices           what its probes take
loop             the run as a loop over chunks of steps, and evaluations between them
prepare          a recipe checked, with its data, its layout and its folder
layout           what stands where in a row: names of columns, layers, parameters
compiled         the compiled programs of a structure, kept while they are in use
flops            how many floating-point operations they make
seed_programs    what they compute for a seed: start, a chunk of steps, an evaluation
evaluate         loss and scores on a whole training or test set
step             one training step, and the row measured of it
update           from a gradient to an update: penalty, clip, schedule, optimizer
per_example      the mean of clipped gradients of single examples
gradients        loss and gradient of a batch, with or without taps
setup            the parts of a recipe, made inside the trace
loss_scale       the loss scaled before back-propagation, for float16
tasks            a recipe's data
checks           a recipe checked: its values against their bounds, its parts against each other
compatibility    what one part of a recipe requires of another
critical         σ_w at the edge of chaos, for initializer=critical
families         every family of parts by name
"""
