"""Tokens and tensors: prompts, the network, decoding, and the process that serves them."""
