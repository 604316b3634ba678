"""From raw data sets to a training mixture: sources, steps with counts, a manifest and its data card."""
