"""Makes a model folder smaller: the same model with its matrices in 8 or 4 bits, which only midfill reads."""

import json
import shutil
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

from engine.errors import ModelFolderError
from engine.model.quantize import GROUP
from engine.model.quantized_storage import METHOD, packed
from engine.model_folder import is_ours, stored_tensors

_WEIGHTS = "model.safetensors"


def quantise(source: Path, target: Path, *, bits: int) -> None:
    """Write `source` to `target` with matrices of `bits` (8 or 4); `config.json` comes last.

    Raises:
        ModelFolderError: `source` is broken, quantised already or of a shape that our network does not run, or `target`
            exists or cannot be written.
    """
    if not is_ours(source):
        raise ModelFolderError(f"{source} has a shape that midfill's own network does not run; it stays as it is")
    config = json.loads((source / "config.json").read_text(encoding="utf-8"))
    if "quantization_config" in config:
        raise ModelFolderError(f"{source} is quantised already; start from the original")
    tensors: dict[str, Tensor] = {}
    for name, tensor in stored_tensors(source):
        tensors |= packed(name, tensor, bits=bits)
    try:
        target.mkdir(parents=True)
        for path in sorted(source.iterdir()):
            if path.is_file() and not path.name.startswith("model") and path.suffix in (".json", ".jinja", ".md"):
                shutil.copyfile(path, target / path.name)
        (target / "config.json").unlink()
        save_file(tensors, target / _WEIGHTS, metadata={"format": "pt"})
        (target / _WEIGHTS).chmod(0o644)  # the library makes it private
        config |= {
            "dtype": "float32",  # the integers times their scales: no shorter type holds the products exactly
            "quantization_config": {"quant_method": METHOD, "bits": bits, "group_size": GROUP},
        }
        (target / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    except FileExistsError as error:
        raise ModelFolderError(f"{target} exists; name a folder that does not") from error
    except OSError as error:
        raise ModelFolderError(f"cannot write the model folder {target}: {error.strerror or error}") from error
