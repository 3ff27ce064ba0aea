; Definitions
(function_declaration name: (identifier) @name) @definition.function
(function_declaration name: (dot_index_expression table: (_) @parent field: (identifier) @name)) @definition.function
(function_declaration name: (method_index_expression table: (_) @parent method: (identifier) @name)) @definition.method
(chunk (variable_declaration (assignment_statement
  (variable_list . name: (identifier) @name)
  (expression_list . value: (function_definition)))) @definition.function)
(chunk (assignment_statement
  (variable_list . name: (dot_index_expression table: (_) @parent field: (identifier) @name))
  (expression_list . value: (function_definition))) @definition.function)
(chunk (variable_declaration (assignment_statement (variable_list . name: (identifier) @name))) @definition.variable)
(chunk (assignment_statement (variable_list . name: (identifier) @name)) @definition.variable)

; Imports
((variable_declaration (assignment_statement
  (variable_list . name: (identifier) @import.alias)
  (expression_list . value: (function_call
    name: (identifier) @_require
    arguments: (arguments (string content: (string_content) @import.module))))))
  (#eq? @_require "require"))
((function_call name: (identifier) @_require
  arguments: (arguments (string content: (string_content) @import.module)))
  (#any-of? @_require "require" "dofile" "loadfile"))

; References
(function_call name: (identifier) @reference)
(function_call name: (dot_index_expression field: (identifier) @reference))
(function_call name: (method_index_expression method: (identifier) @reference))
(dot_index_expression field: (identifier) @reference)
