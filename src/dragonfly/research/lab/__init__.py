"""Studies: which sub-images are worth keeping, what a change of the encoder costs and brings."""
