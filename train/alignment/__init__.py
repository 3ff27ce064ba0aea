"""Reinforcement learning on code that is run: tasks, answers drawn from the network, and the objective."""
