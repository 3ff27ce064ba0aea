; Definitions
(function_item name: (identifier) @name) @definition.function
(function_signature_item name: (identifier) @name) @definition.function
(struct_item name: (type_identifier) @name) @definition.class
(union_item name: (type_identifier) @name) @definition.class
(enum_item name: (type_identifier) @name) @definition.enum
(trait_item name: (type_identifier) @name) @definition.interface
(type_item name: (type_identifier) @name) @definition.type
(const_item name: (identifier) @name) @definition.variable
(static_item name: (identifier) @name) @definition.variable
(macro_definition name: (identifier) @name) @definition.macro
(mod_item name: (identifier) @name body: (_)) @definition.module
(struct_item body: (field_declaration_list (field_declaration name: (field_identifier) @name) @definition.field))
(impl_item type: (type_identifier) @name) @scope
(impl_item type: (generic_type type: (type_identifier) @name)) @scope

; Imports
(mod_item name: (identifier) @import.submodule !body)
(use_declaration argument: (scoped_identifier path: (_) @import.module name: (identifier) @import.name))
(use_declaration argument: (use_as_clause
  path: (scoped_identifier path: (_) @import.module name: (identifier) @import.name)
  alias: (identifier) @import.alias))
(use_declaration argument: (use_wildcard (_) @import.module) @import.wildcard)
(use_declaration argument: (scoped_use_list path: (_) @import.module
  list: (use_list (identifier) @import.name)))
(use_declaration argument: (scoped_use_list path: (_) @import.module
  list: (use_list (use_as_clause path: (identifier) @import.name alias: (identifier) @import.alias))))

; References
(call_expression function: (identifier) @reference)
(call_expression function: (scoped_identifier name: (identifier) @reference))
(field_expression field: (field_identifier) @reference)
(scoped_identifier path: (identifier) @reference)
(macro_invocation macro: (identifier) @reference)
(struct_expression name: (type_identifier) @reference)
(type_identifier) @reference
