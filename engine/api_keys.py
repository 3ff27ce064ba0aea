"""The key that a remote engine asks for: from the environment, or from the system's keyring (no torch)."""

import os
from typing import Final

KEY_VARIABLE: Final = "MIDFILL_API_KEY"
KEYRING_SERVICE: Final = "midfill"


def find_key(host: str) -> str | None:
    """Return the key for a server, or None where there is none.

    The environment's `MIDFILL_API_KEY` comes first. Then the keyring is asked, where the package `keyring` is
    installed: service `midfill`, user name HOST (`keyring set midfill localhost:8000`).

    Args:
        host: name and port, as in the address.
    """
    if key := os.environ.get(KEY_VARIABLE, "").strip():
        return key
    try:
        import keyring
    except ImportError:
        return None
    try:
        return keyring.get_password(KEYRING_SERVICE, host) or None
    # A locked, missing or broken keyring raises whatever its backend does; the server will say that it wants a key.
    except Exception:  # noqa: BLE001
        return None
