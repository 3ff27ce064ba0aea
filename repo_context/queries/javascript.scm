; Definitions
(function_declaration name: (identifier) @name) @definition.function
(generator_function_declaration name: (identifier) @name) @definition.function
(class_declaration name: (identifier) @name) @definition.class
(method_definition name: (_) @name) @definition.method
(field_definition property: (_) @name) @definition.field
(program [
  (lexical_declaration (variable_declarator name: (identifier) @name
    value: [(arrow_function) (function_expression)]))
  (variable_declaration (variable_declarator name: (identifier) @name
    value: [(arrow_function) (function_expression)]))
] @definition.function)
(program (export_statement declaration: (lexical_declaration (variable_declarator name: (identifier) @name
  value: [(arrow_function) (function_expression)])) @definition.function))
(program [
  (lexical_declaration (variable_declarator name: (identifier) @name))
  (variable_declaration (variable_declarator name: (identifier) @name))
] @definition.variable)
(program (export_statement
  declaration: (lexical_declaration (variable_declarator name: (identifier) @name)) @definition.variable))
(program (expression_statement (assignment_expression
  left: (member_expression property: (property_identifier) @name)
  right: [(arrow_function) (function_expression)])) @definition.function)

; Imports
(import_statement source: (string (string_fragment) @import.module))
(import_statement (import_clause (identifier) @import.default) source: (string (string_fragment) @import.module))
(import_statement (import_clause (namespace_import (identifier) @import.alias))
  source: (string (string_fragment) @import.module))
(import_statement
  (import_clause (named_imports (import_specifier name: (_) @import.name alias: (identifier)? @import.alias)))
  source: (string (string_fragment) @import.module))
(export_statement (export_clause (export_specifier name: (_) @import.name alias: (_)? @import.alias))
  source: (string (string_fragment) @import.module))
(import_statement
  (import_clause (named_imports (import_specifier name: "default" @import.name alias: (identifier)? @import.alias)))
  source: (string (string_fragment) @import.module))
(export_statement (export_clause (export_specifier name: "default" @import.name alias: (_)? @import.alias))
  source: (string (string_fragment) @import.module))
(export_statement "*" @import.wildcard source: (string (string_fragment) @import.module))
((call_expression function: (identifier) @_require
  arguments: (arguments . (string (string_fragment) @import.module)))
  (#eq? @_require "require"))
((variable_declarator name: (identifier) @import.alias
  value: (call_expression function: (identifier) @_require
    arguments: (arguments . (string (string_fragment) @import.module))))
  (#eq? @_require "require"))
((variable_declarator
  name: (object_pattern (shorthand_property_identifier_pattern) @import.name)
  value: (call_expression function: (identifier) @_require
    arguments: (arguments . (string (string_fragment) @import.module))))
  (#eq? @_require "require"))
((variable_declarator
  name: (object_pattern (pair_pattern key: (property_identifier) @import.name value: (identifier) @import.alias))
  value: (call_expression function: (identifier) @_require
    arguments: (arguments . (string (string_fragment) @import.module))))
  (#eq? @_require "require"))
(call_expression function: (import) arguments: (arguments . (string (string_fragment) @import.module)))

; References
(call_expression function: (identifier) @reference)
(new_expression constructor: (identifier) @reference)
(member_expression property: (property_identifier) @reference)
(class_heritage (identifier) @reference)
(jsx_opening_element name: (identifier) @reference)
(jsx_self_closing_element name: (identifier) @reference)
