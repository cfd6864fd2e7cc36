"""Circuits (Brian2): cells, synapses, spikes; the weights change inside the simulation. They read Programs only."""
