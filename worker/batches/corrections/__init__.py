"""Corrections: rejected rows of a batch that were sent back, and their return into its results.

A correction is a batch of its own, whose rows have the columns and the line numbers of the batch
that it corrects. At its end, its rows replace the rejected ones there.
"""
