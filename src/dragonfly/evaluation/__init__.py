"""Benchmarks: ask a model a data set's questions, score the replies as the field does, and say how sure the score is."""
