; Definitions
(class_declaration name: (identifier) @name) @definition.class
(interface_declaration name: (identifier) @name) @definition.interface
(enum_declaration name: (identifier) @name) @definition.enum
(record_declaration name: (identifier) @name) @definition.class
(annotation_type_declaration name: (identifier) @name) @definition.interface
(method_declaration name: (identifier) @name) @definition.method
(constructor_declaration name: (identifier) @name) @definition.constructor
(field_declaration declarator: (variable_declarator name: (identifier) @name)) @definition.field

; Imports
(import_declaration . (scoped_identifier) @import.module)
(import_declaration (scoped_identifier) @import.module (asterisk) @import.wildcard)
(import_declaration "static" (scoped_identifier scope: (_) @import.module name: (identifier) @import.name) .)

; References
(method_invocation name: (identifier) @reference)
(object_creation_expression type: (type_identifier) @reference)
(field_access field: (identifier) @reference)
(superclass (type_identifier) @reference)
(type_list (type_identifier) @reference)
(formal_parameter type: (type_identifier) @reference)
(local_variable_declaration type: (type_identifier) @reference)
(field_declaration type: (type_identifier) @reference)
(method_declaration type: (type_identifier) @reference)
(generic_type (type_identifier) @reference)
(type_arguments (type_identifier) @reference)
(marker_annotation name: (identifier) @reference)
(annotation name: (identifier) @reference)
