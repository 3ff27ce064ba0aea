; inherits: ecma

; Definitions
(class_declaration name: (identifier) @name) @definition.class
(field_definition property: (_) @name) @definition.field
(program (expression_statement (assignment_expression
  left: (member_expression property: (property_identifier) @name)
  right: [(arrow_function) (function_expression)])) @definition.function)

; Imports
(import_statement
  (import_clause (named_imports (import_specifier name: "default" @import.name alias: (identifier)? @import.alias)))
  source: (string (string_fragment) @import.module))
(export_statement (export_clause (export_specifier name: "default" @import.name alias: (_)? @import.alias))
  source: (string (string_fragment) @import.module))
((variable_declarator
  name: (object_pattern (pair_pattern key: (property_identifier) @import.name value: (identifier) @import.alias))
  value: (call_expression function: (identifier) @_require
    arguments: (arguments . (string (string_fragment) @import.module))))
  (#eq? @_require "require"))

; References
(class_heritage (identifier) @reference)
(jsx_opening_element name: (identifier) @reference)
(jsx_self_closing_element name: (identifier) @reference)
