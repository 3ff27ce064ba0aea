"""The shape of a network small enough to train in a test: grouped-query attention, tied embeddings."""

from engine.model.config import TransformerConfig

TINY = TransformerConfig(
    vocab_size=64,
    hidden_size=32,
    intermediate_size=64,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=8,
    max_position_embeddings=64,
    tie_word_embeddings=True,
)
