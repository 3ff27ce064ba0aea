"""Times DeepSeek-V2 shapes beside transformers on one CPU thread: a training step, and decoding from cached latents.

    python -m benchmarks.moe [--rounds 3] [--width 256] [--tokens 512] [--context 4096]

Both have the same weights, in fp32. The contestants take turns within a round; CPU seconds, medians.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from engine import model_folder
from engine.fim_formats import DEEPSEEK_CODER
from engine.model.balance import BalanceSettings
from engine.model.config import ExpertsConfig, LatentAttentionConfig, TransformerConfig
from engine.model.transformer import Transformer
from engine.prompt import PromptSettings

_BALANCE = BalanceSettings(expert_alpha=0.001)
_LITE_NUMBERS = 15_552
"""Numbers that DeepSeek-V2-Lite keeps of a token: 27 layers of 512 + 64."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--width", type=int, default=256, help="of the network, a multiple of 64")
    parser.add_argument("--layers", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=512, help="of one training step")
    parser.add_argument("--context", type=int, default=4096, help="tokens behind which one more is decoded")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    config = _shape(arguments.width, arguments.layers, arguments.context + 64)
    ours = Transformer(config)
    ours.initialise(torch.Generator().manual_seed(0))
    theirs = _theirs(ours)
    print(f"{ours.parameter_count():,} parameters, {ours.active_parameter_count():,} active; 64 experts, top 6")
    _training(ours, theirs, arguments.tokens, arguments.rounds)
    ours.requires_grad_(requires_grad=False).eval()
    theirs.requires_grad_(False).eval()
    with torch.inference_mode():
        _decoding(ours, theirs, arguments.context, arguments.rounds)
    _memory(ours, theirs)


def _shape(width: int, layers: int, context: int) -> TransformerConfig:
    """Return DeepSeek-V2-Lite's proportions (width 2,048) at another width, with a small vocabulary."""
    latent = LatentAttentionConfig(
        q_lora_rank=None, kv_lora_rank=width // 4, qk_nope_head_dim=64, qk_rope_head_dim=32, v_head_dim=64
    )
    experts = ExpertsConfig(
        n_routed_experts=64,
        n_shared_experts=2,
        num_experts_per_tok=6,
        moe_intermediate_size=width * 11 // 16,
        first_k_dense_replace=1,
    )
    return TransformerConfig(
        vocab_size=1024,
        hidden_size=width,
        intermediate_size=width * 16 // 3,
        num_hidden_layers=layers,
        num_attention_heads=width // 64,
        num_key_value_heads=width // 64,
        head_dim=96,
        max_position_embeddings=context,
        latent_attention=latent,
        experts=experts,
    )


def _theirs(ours: Transformer) -> Any:
    """Return transformers' network with our weights, its experts and attention in the eager implementation."""
    from transformers import DeepseekV2ForCausalLM

    with tempfile.TemporaryDirectory() as name:
        settings = PromptSettings(fim=DEEPSEEK_CODER, context_length=ours.config.max_position_embeddings)
        model_folder.write(Path(name), ours, tokenizer_json="{}", prompt_settings=settings)
        network: Any = DeepseekV2ForCausalLM.from_pretrained(
            name, attn_implementation="eager", experts_implementation="eager"
        )
    return network.float().train()


def _training(ours: Transformer, theirs: Any, tokens: int, rounds: int) -> None:
    ids = torch.randint(0, ours.config.vocab_size, (tokens // 256, 257), generator=torch.Generator().manual_seed(1))

    def step(logits: Tensor, network: Any) -> None:
        loss = F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())
        loss.backward()  # type: ignore[no-untyped-call]
        network.zero_grad(set_to_none=True)

    def our_step() -> None:
        states, routing = ours.states_and_routing(ids[:, :-1], _BALANCE)
        assert routing is not None
        step(ours.lm_head(states) + 0 * routing.loss, ours)

    measured = _alternate({"ours": our_step, "transformers": lambda: step(theirs(ids[:, :-1]).logits, theirs)}, rounds)
    speed = {name: ids[:, 1:].numel() / seconds for name, seconds in measured.items()}
    _tell("training, tokens per CPU second", speed, speed["ours"] / speed["transformers"], bar=3)


def _decoding(ours: Transformer, theirs: Any, context: int, rounds: int) -> None:
    from transformers import DynamicCache

    ids = torch.randint(0, ours.config.vocab_size, (1, context), generator=torch.Generator().manual_seed(1))
    cache = ours.new_cache(context + 8)
    their_cache: Any = DynamicCache()
    expected = theirs(ids, past_key_values=their_cache).logits[:, -1]
    difference = (ours.next_logits(ids, cache) - expected).abs().max()
    print(f"largest difference of logits {float(difference):.1e}")

    def our_token() -> None:
        ours.next_logits(ids[:, :1], cache)
        cache.truncate(context)

    def their_token() -> None:
        theirs(ids[:, :1], past_key_values=their_cache)
        their_cache.crop(-1)  # transformers crops in place, our cache only forgets

    measured = _alternate({"ours": our_token, "transformers": their_token}, 3 * rounds)
    milliseconds = {name: seconds * 1e3 for name, seconds in measured.items()}
    _tell(f"one token behind {context}, CPU ms", milliseconds, measured["transformers"] / measured["ours"], bar=2)


def _memory(ours: Transformer, theirs: Any) -> None:
    from transformers import DynamicCache

    their_cache: Any = DynamicCache()
    with torch.inference_mode():
        theirs(torch.zeros((1, 100), dtype=torch.long), past_key_values=their_cache)
    held = sum(layer.keys.numel() + layer.values.numel() for layer in their_cache.layers) // 100
    print(f"numbers kept of a token: ours {ours.cache_bytes(100) // 400}, transformers {held}")
    lite = TransformerConfig.from_hugging_face(_LITE)
    print(f"of DeepSeek-V2-Lite: {lite.cache_numbers_per_token:,} (bound {_LITE_NUMBERS:,})")


def _alternate(contestants: Mapping[str, Callable[[], None]], rounds: int) -> dict[str, float]:
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(rounds + 1):
        for name, run in contestants.items():
            began = time.process_time()
            run()
            if number:  # the first is a warm-up
                seconds[name].append(time.process_time() - began)
    return {name: statistics.median(measured) for name, measured in seconds.items()}


def _tell(what: str, figures: Mapping[str, float], ratio: float, *, bar: float) -> None:
    told = ", ".join(f"{name} {figure:,.1f}" for name, figure in figures.items())
    print(f"{what}: {told}; {ratio:.1f} x ({'met' if ratio >= bar else 'missed'}: {bar} x)")


_LITE: Mapping[str, Any] = {
    "model_type": "deepseek_v2", "vocab_size": 102_400, "hidden_size": 2048, "intermediate_size": 10_944,
    "num_hidden_layers": 27, "num_attention_heads": 16, "max_position_embeddings": 163_840, "q_lora_rank": None,
    "kv_lora_rank": 512, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128,
}  # fmt: skip

if __name__ == "__main__":
    main()
