"""Small networks of every kind that the fast paths must run: random weights, odd sizes on purpose."""

import torch

from engine.model.config import TransformerConfig
from engine.model.transformer import Transformer


def shape(**fields):
    plain = {
        "vocab_size": 97, "hidden_size": 96, "intermediate_size": 160, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 4, "head_dim": 32, "max_position_embeddings": 400,
        "initializer_range": 0.1,
    }  # fmt: skip
    return TransformerConfig(**plain | fields)


SHAPES = {
    "multi_head_untied": shape(),
    "grouped_tied": shape(num_attention_heads=8, num_key_value_heads=2, tie_word_embeddings=True),
    "multi_query_wide_heads": shape(num_key_value_heads=1, head_dim=128, vocab_size=1000),
    "heads_of_64_scaled_rope": shape(num_attention_heads=6, num_key_value_heads=2, head_dim=64, rope_factor=4.0),
    "biases_like_qwen2": shape(num_key_value_heads=2, query_key_value_bias=True, rope_theta=1e6),
    "odd_sizes": shape(hidden_size=100, intermediate_size=130, vocab_size=77, head_dim=24, num_attention_heads=5,
                       num_key_value_heads=1, rms_norm_eps=1e-5),
}  # fmt: skip


def network(config):
    made = Transformer(config)
    made.initialise(torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(1)
    for name, parameter in made.named_parameters():
        if name.endswith("bias") or parameter.dim() == 1:
            parameter.data += 0.3 * torch.randn(parameter.shape, generator=generator)
    return made.requires_grad_(False).eval()


def ids(config, count, seed=2):
    return torch.randint(0, config.vocab_size, (1, count), generator=torch.Generator().manual_seed(seed))


def relative_error(ours, reference):
    return float((ours - reference).norm() / reference.norm())
