"""What is measured of code that is not gradlab's: a network, a loss in a training loop of one's own.

network         gradlab.profile: one pass of any network
loss            gradlab.measure: loss, gradient and profiles of a loss function
parameters      the parameters of what a loss function is given, by path
transformation  gradlab.record_norms: norms inside optax.chain
by_hand         gradlab.tap and gradlab.norms
"""
