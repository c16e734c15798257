"""What networks are made of. Each file imports only from files listed below it.

model            the family of models: the options of gradlab/models, or a user's function that builds one
adapters         a user's network as a chain of blocks: functions, or modules of Flax, Equinox and Haiku
found_blocks     the blocks of a network that is one function, equal neighbours as one stack
shared_parameters  the slices of stacked weights, tied weights: one parameter for each block
programs         one such block as a program of its own
cuts             where a network can be cut into blocks
equations        a function as one flat list of equations, and what each value depends on
module_names     which module a parameter belongs to
modules          a module of Flax, Equinox or Haiku as a pure function
measured         loss, gradient and depth profiles of any chain, in one pass
recurrent        recurrent layers of any cell
sequence         requirements, input block and output block of networks over time
cells            one time step of each recurrent cell
residual_stages  stages of residual blocks, for image networks
images           requirements and pooling of convolutional networks
blocks           linear, pre-activation, residual and output blocks
block_layers     the weight layers inside one block
normalize        normalization and dropout outside a weight layer
linear_layer     one weight layer: dense or convolution, with its normalization
plan             Plan: the sizes and parts from which a model builds its chain
chain            a network as a chain of blocks; the forward pass with taps
"""
