"""Names of what midfill speaks beyond the Language Server Protocol; docs/protocol.md says what they carry."""

from typing import Final

STATUS: Final = "midfill/status"
"""Request: how everything stands."""
DID_CHANGE_STATUS: Final = "midfill/didChangeStatus"
"""Notification to a client that said `experimental.midfill.statusNotifications`."""
SET_ENABLED: Final = "midfill/setEnabled"
"""Request: turn suggestions on or off, everywhere or in one language."""
WHY: Final = "midfill/why"
"""Request: how the latest answer in a document came about."""
STATS: Final = "midfill/stats"
"""Request: what became of suggestions on this machine."""
DID_DISMISS: Final = "midfill/didDismissCompletion"
"""Notification from a client: the user sent a suggestion away."""

DID_SHOW: Final = "textDocument/didShowCompletion"
"""Notification from a client, as Copilot's clients send it."""
DID_PARTIALLY_ACCEPT: Final = "textDocument/didPartiallyAcceptCompletion"
"""Notification from a client, as Copilot's clients send it."""
DID_FOCUS: Final = "textDocument/didFocus"
"""Notification from a client, as Copilot's clients send it."""

ACCEPT_COMMAND: Final = "midfill.accept"
"""What an item's `command` runs after the item was inserted."""
RESTART_ENGINE_COMMAND: Final = "midfill.restartEngine"
REINDEX_COMMAND: Final = "midfill.reindex"
COMMANDS: Final = (ACCEPT_COMMAND, RESTART_ENGINE_COMMAND, REINDEX_COMMAND)
