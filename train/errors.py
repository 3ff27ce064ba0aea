"""Every error training raises on purpose; each message says what to do.

TrainError
├── RecipeError     a recipe or a `--set` is wrong
├── CorpusError     the source folders hold nothing to train on
├── RunError        a run's folder is in use by another recipe, or a checkpoint is broken
├── EvaluationError a suite, its data or the model to measure cannot be used
└── SandboxError    programs cannot be run apart from the rest of the machine
"""


class TrainError(Exception):
    """Base of all deliberate training errors; `str(error)` is one line for the user."""


class RecipeError(TrainError):
    """A recipe cannot be read, or names a field or value that does not exist."""


class CorpusError(TrainError):
    """There is nothing to train on in the folders given."""


class RunError(TrainError):
    """A run cannot be continued from what its folder holds."""


class EvaluationError(TrainError):
    """A suite does not exist, its data are missing or of another shape, or a server does not answer."""


class SandboxError(TrainError):
    """The sandbox itself failed, not the program in it."""
