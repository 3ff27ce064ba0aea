"""The network: configuration, attention, rotary positions, the transformer."""
