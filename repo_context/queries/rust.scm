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
((attribute_item (attribute (identifier) @_path value: (string_literal (string_content) @import.relative)))
  . (mod_item name: (identifier) @import.alias !body)
  (#eq? @_path "path"))
(use_declaration argument: (_) @import.tree)
(mod_item name: (identifier) @import.scope body: (declaration_list (use_declaration argument: (_) @import.tree)))

; References
(call_expression function: (identifier) @reference)
(call_expression function: (scoped_identifier name: (identifier) @reference))
(field_expression field: (field_identifier) @reference)
(scoped_identifier path: (identifier) @reference)
(macro_invocation macro: (identifier) @reference)
(struct_expression name: (type_identifier) @reference)
(type_identifier) @reference
