; Definitions
(function_definition name: (word) @name) @definition.function
(program (variable_assignment name: (variable_name) @name) @definition.variable)
(program (declaration_command (variable_assignment name: (variable_name) @name)) @definition.variable)

; Imports
((command name: (command_name (word) @_source) . argument: (word) @import.relative)
  (#any-of? @_source "source" "."))
((command name: (command_name (word) @_source) . argument: (string) @import.relative)
  (#any-of? @_source "source" "."))

; References
(command name: (command_name (word) @reference))
