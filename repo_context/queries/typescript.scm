; inherits: ecma

; Definitions
(function_signature name: (identifier) @name) @definition.function
(class_declaration name: (type_identifier) @name) @definition.class
(abstract_class_declaration name: (type_identifier) @name) @definition.class
(interface_declaration name: (type_identifier) @name) @definition.interface
(type_alias_declaration name: (type_identifier) @name) @definition.type
(enum_declaration name: (identifier) @name) @definition.enum
(internal_module name: (identifier) @name) @definition.module
(method_signature name: (_) @name) @definition.method
(abstract_method_signature name: (_) @name) @definition.method
(public_field_definition name: (_) @name) @definition.field
(interface_declaration body: (interface_body (property_signature name: (_) @name) @definition.field))
(type_alias_declaration value: (object_type (property_signature name: (_) @name) @definition.field))
(type_alias_declaration value: (intersection_type (object_type (property_signature name: (_) @name) @definition.field)))
(type_alias_declaration value: (intersection_type (intersection_type
  (object_type (property_signature name: (_) @name) @definition.field))))
(type_alias_declaration value: (generic_type (type_arguments
  (object_type (property_signature name: (_) @name) @definition.field))))

; Imports
(import_statement
  (import_require_clause (identifier) @import.alias source: (string (string_fragment) @import.module)))

; References
(extends_clause value: (identifier) @reference)
(type_annotation (type_identifier) @reference)
(implements_clause (type_identifier) @reference)
(extends_type_clause (type_identifier) @reference)
(generic_type name: (type_identifier) @reference)
(type_arguments (type_identifier) @reference)
