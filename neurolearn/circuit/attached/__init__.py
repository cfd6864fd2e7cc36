"""Learning for a network that is there already: what a rule adds to it, wired to the cells that its owner names."""
