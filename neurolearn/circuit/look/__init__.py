"""What a circuit looks like, made from its plan: the drawing and the table of parameters that a paper prints."""
