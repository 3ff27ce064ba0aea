; Definitions
(class_declaration name: (name) @name) @definition.class
(interface_declaration name: (name) @name) @definition.interface
(trait_declaration name: (name) @name) @definition.class
(enum_declaration name: (name) @name) @definition.enum
(function_definition name: (name) @name) @definition.function
(method_declaration name: (name) @name) @definition.method
(property_declaration (property_element name: (variable_name (name) @name))) @definition.field
(const_declaration (const_element . (name) @name)) @definition.variable

; Imports
(namespace_use_declaration) @import.tree
(object_creation_expression (qualified_name) @import.module)
(class_constant_access_expression . (qualified_name) @import.module)
(scoped_call_expression scope: (qualified_name) @import.module)
(named_type (qualified_name) @import.module)
(base_clause (qualified_name) @import.module)
(namespace_definition name: (namespace_name) @package)
(require_expression [(string (string_content) @import.relative) (encapsed_string (string_content) @import.relative)
  (binary_expression right: (string (string_content) @import.relative))])
(require_once_expression [(string (string_content) @import.relative)
  (encapsed_string (string_content) @import.relative)
  (binary_expression right: (string (string_content) @import.relative))])
(include_expression [(string (string_content) @import.relative) (encapsed_string (string_content) @import.relative)
  (binary_expression right: (string (string_content) @import.relative))])
(include_once_expression [(string (string_content) @import.relative)
  (encapsed_string (string_content) @import.relative)
  (binary_expression right: (string (string_content) @import.relative))])

; References
(function_call_expression function: (name) @reference)
(member_call_expression name: (name) @reference)
(scoped_call_expression scope: (name) @reference)
(scoped_call_expression name: (name) @reference)
(object_creation_expression (name) @reference)
(base_clause (name) @reference)
(class_interface_clause (name) @reference)
(named_type (name) @reference)
(use_declaration (name) @reference)
(class_constant_access_expression . (name) @reference)
(attribute (name) @reference)
(binary_expression right: (name) @reference)
