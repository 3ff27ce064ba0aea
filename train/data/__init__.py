"""Source documents in, token shards out."""
