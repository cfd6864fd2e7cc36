"""What is written down while a circuit learns: monitors, a file on disk, reading it back, and giving it to others."""
