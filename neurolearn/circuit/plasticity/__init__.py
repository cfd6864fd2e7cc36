"""How the weights of a spiking circuit learn: windows, clocks, traces, or events at spikes."""
