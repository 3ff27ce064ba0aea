"""Every error the engine raises on purpose; each message says what to do.

EngineError
├── ModelFolderError        a model folder cannot be read or written
│   └── UnsupportedShapeError   its network has a shape that ours has not
├── PromptError             a prompt cannot be built from what was given
└── EngineUnavailableError  the engine process cannot be started or reached
"""


class EngineError(Exception):
    """Base of all deliberate engine errors; `str(error)` is one line for the user."""


class ModelFolderError(EngineError):
    """A model folder is missing, incomplete or broken."""


class UnsupportedShapeError(ModelFolderError):
    """A model folder describes a network that is not ours to run; transformers may."""


class PromptError(EngineError):
    """A prompt cannot be built, for example because the budget cannot hold the marks."""


class EngineUnavailableError(EngineError):
    """The engine process cannot be started, reached, or went away in mid-answer."""
