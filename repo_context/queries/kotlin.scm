; Definitions
(class_declaration "interface" name: (identifier) @name) @definition.interface
(class_declaration (modifiers (class_modifier "enum")) name: (identifier) @name) @definition.enum
(class_declaration name: (identifier) @name) @definition.class
(object_declaration name: (identifier) @name) @definition.class
(enum_entry . (identifier) @name) @definition.field
(type_alias type: (identifier) @name) @definition.type
(class_body (function_declaration name: (identifier) @name) @definition.method)
(enum_class_body (function_declaration name: (identifier) @name) @definition.method)
(function_declaration name: (identifier) @name) @definition.function
(class_parameter ["val" "var"] (identifier) @name) @definition.field
(class_body (property_declaration (variable_declaration . (identifier) @name)) @definition.field)
(source_file (property_declaration (variable_declaration . (identifier) @name)) @definition.variable)

; Imports
(package_header (qualified_identifier) @package)
(import) @import.tree

; References
(call_expression . (identifier) @reference)
(navigation_expression (_) (identifier) @reference)
(navigation_expression . (identifier) @reference.type)
(user_type (identifier) @reference)
(callable_reference (identifier) @reference)
