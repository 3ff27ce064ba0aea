"""DeepSeek-V2 shapes small enough for tests, every part of them at work."""

from pathlib import Path

import torch

from engine import model_folder
from engine.fim_formats import DEEPSEEK_CODER
from engine.model.config import ExpertsConfig, LatentAttentionConfig, TransformerConfig, YarnConfig
from engine.model.transformer import Transformer
from engine.prompt import PromptSettings
from engine.tokenizer import Tokenizer
from tests.support.tiny_model import train_tokenizer

YARN = YarnConfig(factor=40.0, original_max_position_embeddings=64, mscale=0.707, mscale_all_dim=0.707)
GROUPED = ExpertsConfig(
    n_routed_experts=12,
    n_shared_experts=2,
    num_experts_per_tok=3,
    moe_intermediate_size=24,
    routed_scaling_factor=16.0,
    n_group=4,
    topk_group=2,
    first_k_dense_replace=1,
)
FREE = ExpertsConfig(
    n_routed_experts=10, n_shared_experts=1, num_experts_per_tok=4, moe_intermediate_size=20, first_k_dense_replace=1
)


def v2_shape(*, experts: ExpertsConfig | None = FREE, q_lora_rank: int | None = None, **fields) -> TransformerConfig:
    latent = LatentAttentionConfig(
        q_lora_rank=q_lora_rank, kv_lora_rank=24, qk_nope_head_dim=12, qk_rope_head_dim=8, v_head_dim=10
    )
    plain = {
        "vocab_size": 97, "hidden_size": 48, "intermediate_size": 80, "num_hidden_layers": 3, "num_attention_heads": 4,
        "num_key_value_heads": 4, "head_dim": 20, "max_position_embeddings": 256, "initializer_range": 0.2,
    }  # fmt: skip
    return TransformerConfig(latent_attention=latent, experts=experts, **plain | fields)


SHAPES = {
    "like Lite": v2_shape(),
    "like 236B": v2_shape(experts=GROUPED, q_lora_rank=16, yarn=YARN),
    "no experts": v2_shape(experts=None, q_lora_rank=16),
    "no shared experts": v2_shape(
        experts=ExpertsConfig(n_routed_experts=4, n_shared_experts=0, num_experts_per_tok=2, moe_intermediate_size=16)
    ),
}


def v2_network(config: TransformerConfig) -> Transformer:
    made = Transformer(config)
    made.initialise(torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(1)
    for parameter in made.parameters():
        if parameter.dim() == 1:  # norms that are all one would hide a norm in the wrong place
            parameter.data += 0.3 * torch.randn(parameter.shape, generator=generator)
    return made.requires_grad_(False).eval()


def write_v2_model(folder: Path, *, context_length: int = 512) -> Path:
    """Write a model folder of the shape of V2-Lite with random weights and return it."""
    tokenizer_json = train_tokenizer()
    tokens = Tokenizer(tokenizer_json).vocab_size
    network = v2_network(v2_shape(vocab_size=tokens + 8, max_position_embeddings=context_length))
    settings = PromptSettings(fim=DEEPSEEK_CODER, context_length=context_length)
    model_folder.write(folder, network, tokenizer_json=tokenizer_json, prompt_settings=settings)
    return folder
