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
(package_declaration [(scoped_identifier) (identifier)] @package)
(import_declaration . (scoped_identifier) @import.module)
(import_declaration (scoped_identifier) @import.module (asterisk) @import.wildcard)
(import_declaration "static" (scoped_identifier scope: (_) @import.module name: (identifier) @import.name) .)

; References
(method_invocation name: (identifier) @reference)
(method_invocation object: (identifier) @reference.type)
(field_access field: (identifier) @reference)
(field_access object: (identifier) @reference.type)
(method_reference . (identifier) @reference.type)
(type_identifier) @reference
(marker_annotation name: (identifier) @reference)
(annotation name: (identifier) @reference)
