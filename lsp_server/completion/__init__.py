"""What to show at a cursor, decided on plain values (no LSP types)."""
