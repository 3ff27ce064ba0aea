; Definitions
(function_declaration name: (identifier) @name) @definition.function
(method_declaration
  receiver: (parameter_list (parameter_declaration type: (type_identifier) @parent))
  name: (field_identifier) @name) @definition.method
(method_declaration
  receiver: (parameter_list (parameter_declaration type: (pointer_type (type_identifier) @parent)))
  name: (field_identifier) @name) @definition.method
(method_declaration
  receiver: (parameter_list (parameter_declaration type: (generic_type type: (type_identifier) @parent)))
  name: (field_identifier) @name) @definition.method
(method_declaration
  receiver: (parameter_list (parameter_declaration
    type: (pointer_type (generic_type type: (type_identifier) @parent))))
  name: (field_identifier) @name) @definition.method
(method_declaration name: (field_identifier) @name) @definition.method
(type_spec name: (type_identifier) @name type: (interface_type)) @definition.interface
(type_spec name: (type_identifier) @name) @definition.class
(type_alias name: (type_identifier) @name) @definition.type
(method_elem name: (field_identifier) @name) @definition.method
(field_declaration name: (field_identifier) @name) @definition.field
(source_file (const_declaration (const_spec name: (identifier) @name) @definition.variable))
(source_file (var_declaration (var_spec name: (identifier) @name) @definition.variable))
(source_file (var_declaration (var_spec_list (var_spec name: (identifier) @name) @definition.variable)))

; Imports
(import_spec path: (interpreted_string_literal (interpreted_string_literal_content) @import.module))
(import_spec name: (package_identifier) @import.alias
  path: (interpreted_string_literal (interpreted_string_literal_content) @import.module))

; References
(call_expression function: (identifier) @reference)
(selector_expression field: (field_identifier) @reference)
(parameter_declaration type: (type_identifier) @reference)
(parameter_declaration type: (pointer_type (type_identifier) @reference))
(qualified_type name: (type_identifier) @reference)
(composite_literal type: (type_identifier) @reference)
(field_declaration type: (type_identifier) @reference)
(field_declaration type: (pointer_type (type_identifier) @reference))
