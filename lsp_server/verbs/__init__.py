"""The verbs of the `midfill` command, one module each with `run(arguments) -> exit code`."""
