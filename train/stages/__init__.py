"""The stages of training: pretraining for now."""
