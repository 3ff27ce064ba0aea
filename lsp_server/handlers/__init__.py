"""LSP messages in, session calls out: thin."""
