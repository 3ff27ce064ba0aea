"""From a prompt's ids to new ids: generation, sampling, stopping."""
