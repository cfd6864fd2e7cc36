"""Tensor programs (torch): the settled algebra of a rule, and its spiking recursion. They read Programs, never text."""
