"""Text to ids and back, so that text typed by a user can never become a control token (no torch).

A `tokenizer.json` lists its marks as added tokens, and the library matches added tokens anywhere in the input, whether
they are flagged special or not (DeepSeek's fill-in-the-middle marks are not). User text is therefore encoded by a
second tokenizer built from the same file without them; the marks themselves are only ever looked up by name.

That second tokenizer never puts a space in front of a text either, as SentencePiece's do (Llama, Mistral): the pieces
of a prompt are encoded one by one, and only the first of them begins a text (`Tokenizer.begins_with_space`).
"""

import codecs
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

from tokenizers import Tokenizer as _LibraryTokenizer

from engine.errors import ModelFolderError

_BYTE_TOKEN = re.compile(r"<0x([0-9A-F]{2})>")
_BLANKS = re.compile(r"[\s▁]+")
_HTML_TAG = re.compile(
    r"</?(?:a|b|blockquote|body|br|caption|code|div|em|h[1-6]|head|html|i|li|ol|p|pre|span|strong|sub|sup|table|tbody"
    r"|td|tfoot|th|thead|tr|u|ul)>"
)
_MARK_PIECE = re.compile(r"▁<[A-Z]{3}>")
"""Code Llama's marks, where a vocabulary holds them as ordinary pieces."""


class Vocabulary(Protocol):
    """What laying out a prompt asks of a tokenizer."""

    begins_with_space: bool
    """Whether the model was trained on texts that begin with a space of the tokenizer's own."""

    def encode(self, text: str) -> list[int]:
        """Return the ids of a user's text; none of them is a control token, whatever the text says."""

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of `ids`."""

    def token_bytes(self, token_id: int) -> bytes:
        """Return the bytes that a token stands for, empty for a control token."""

    def control_id(self, mark: str) -> int | None:
        """Return the id of a mark, or None when there is no such control token."""


class Tokenizer:
    """The tokenizer of one model folder."""

    def __init__(self, definition: str) -> None:
        """Build from the text of a `tokenizer.json`.

        Raises:
            ModelFolderError: the text is no tokenizer definition.
        """
        try:
            raw: dict[str, Any] = json.loads(definition)
            added = [token for token in raw.get("added_tokens") or () if _is_control(token)]
            raw["added_tokens"] = [token for token in raw.get("added_tokens") or () if token not in added]
            complete = _LibraryTokenizer.from_str(definition)
            for part in ("normalizer", "pre_tokenizer"):
                raw[part] = _without_leading_space(raw.get(part))
            self._user_text = _LibraryTokenizer.from_str(json.dumps(raw))
        except Exception as error:
            raise ModelFolderError(f"tokenizer.json is broken ({error}); fetch or train it again") from error
        self._user_text.no_padding()
        self._user_text.no_truncation()
        vocabulary: dict[str, int] = complete.get_vocab(with_added_tokens=True)
        self._control = {token: number for token, number in vocabulary.items() if _MARK_PIECE.fullmatch(token)}
        self._control |= {token["content"]: int(token["id"]) for token in added}
        ordinary = {int(token["id"]): str(token["content"]) for token in raw["added_tokens"]}
        self._bytes = _bytes_by_id(vocabulary, set(self._control.values()), ordinary)
        self.vocab_size: int = len(self._bytes)
        """Ids run from 0 to `vocab_size` - 1, control tokens included."""
        self.fingerprint: str = sha256(definition.encode()).hexdigest()[:16]
        """Equal for equal definitions; keys whatever is stored as ids."""
        first = complete.encode("x", add_special_tokens=False).ids[:1]
        self.begins_with_space: bool = self.decode(first).startswith(" ")
        """Whether the model was trained on texts that begin with a space of the tokenizer's own."""

    @classmethod
    def load(cls, folder: Path) -> "Tokenizer":
        """Read `tokenizer.json` in a model folder.

        Raises:
            ModelFolderError: it is missing or broken.
        """
        path = folder / "tokenizer.json"
        try:
            return cls(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise ModelFolderError(f"cannot read {path}: {error.strerror or error}") from error
        except UnicodeDecodeError as error:
            raise ModelFolderError(f"{path} is not UTF-8; fetch or train it again") from error

    def encode(self, text: str) -> list[int]:
        """Return the ids of a user's text; none of them is a control token, whatever the text says."""
        ids: list[int] = self._user_text.encode(text, add_special_tokens=False).ids
        return ids

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Encode many texts on all cores."""
        encodings = self._user_text.encode_batch_fast(list(texts), add_special_tokens=False)
        return [encoding.ids for encoding in encodings]

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of `ids`; control tokens vanish, broken UTF-8 becomes U+FFFD."""
        return b"".join(map(self.token_bytes, ids)).decode("utf-8", errors="replace")

    def token_bytes(self, token_id: int) -> bytes:
        """Return the bytes that a token stands for, empty for a control token or an unused id."""
        return self._bytes[token_id] if 0 <= token_id < len(self._bytes) else b""

    def control_id(self, mark: str) -> int | None:
        """Return the id of a mark, or None when this tokenizer has no such control token."""
        return self._control.get(mark)

    @property
    def marks(self) -> Mapping[str, int]:
        """Every control token, by its spelling."""
        return self._control

    @property
    def control_ids(self) -> frozenset[int]:
        """The ids of all control tokens."""
        return frozenset(self._control.values())

    def stream(self) -> "TextStream":
        """Start decoding ids one at a time."""
        return TextStream(self)


class TextStream:
    """Decodes ids as they come and holds back the bytes of an unfinished character."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def push(self, token_id: int) -> str:
        """Take one more id; return the characters it finished, perhaps none."""
        return self._decoder.decode(self._tokenizer.token_bytes(token_id))


def _is_control(token: Mapping[str, Any]) -> bool:
    # Some tokenizers keep runs of spaces (GPT-NeoX, Gemma), HTML tags (Gemma) or single rare characters
    # (DeepSeek-Coder 32000-32012) as added tokens: those are text, and a model reads them best as it was trained to.
    content = token["content"]
    if len(content) <= 1 or _BLANKS.fullmatch(content):
        return False
    return bool(token.get("special")) or not _HTML_TAG.fullmatch(content)


def _without_leading_space(part: Any) -> Any:
    """Return a normalizer or pre-tokenizer that adds nothing in front of a text."""
    if not isinstance(part, dict):
        return part
    if part.get("type") == "Prepend":
        return None
    changed = dict(part)
    for steps in ("normalizers", "pretokenizers"):
        if steps in part:
            changed[steps] = [kept for step in part[steps] if (kept := _without_leading_space(step)) is not None]
    if "prepend_scheme" in part:
        changed["prepend_scheme"] = "never"
    if "add_prefix_space" in part:
        changed["add_prefix_space"] = False
    return changed


def _bytes_by_id(vocabulary: Mapping[str, int], control: set[int], ordinary: dict[int, str]) -> list[bytes]:
    table = [b""] * (max(vocabulary.values(), default=-1) + 1)
    alphabet = _byte_level_alphabet()
    # A byte-level vocabulary spells every token in the 256 letters of its own alphabet.
    byte_level = all(token in vocabulary for token in ("Ġ", "Ċ"))
    for token, token_id in vocabulary.items():
        if token_id in control:
            continue
        if token_id in ordinary:
            text = ordinary[token_id]
            table[token_id] = (text if byte_level else text.replace("▁", " ")).encode()
        elif byte_level and all(letter in alphabet for letter in token):
            table[token_id] = bytes(alphabet[letter] for letter in token)
        elif match := _BYTE_TOKEN.fullmatch(token):
            table[token_id] = bytes([int(match[1], 16)])
        else:
            table[token_id] = token.replace("▁", " ").encode() if not byte_level else token.encode()
    return table


def _byte_level_alphabet() -> dict[str, int]:
    """Return letter → byte of the byte-level alphabet (GPT-2): printable bytes are themselves, the rest move up."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    moved = [byte for byte in range(256) if byte not in set(printable)]
    letters = {chr(byte): byte for byte in printable}
    return letters | {chr(0x100 + index): byte for index, byte in enumerate(moved)}
