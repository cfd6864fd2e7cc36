"""Cells of the user's own: any Brian2 model, its measured f-I curve, and its equations inside a circuit."""
