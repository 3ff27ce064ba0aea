"""Files and syntax: what is in a repository, and what of it helps at a cursor."""
