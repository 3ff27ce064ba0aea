"""The language server and the `midfill` command."""

VERSION = "0.1.0"
"""As in `pyproject.toml`; asking the installed metadata for it would cost a tenth of the time to the first answer."""
