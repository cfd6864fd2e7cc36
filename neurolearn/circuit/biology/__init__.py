"""Physiology that a circuit may have beyond its equations: delays, variety, irregular firing, background, Dale's law."""

from neurolearn.circuit.biology.body import Biology

__all__ = ["Biology"]
