"""What can go wrong with a circuit: foreseen before it runs, seen while it runs, and named in a finding."""
