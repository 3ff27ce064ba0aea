; Definitions
(class_declaration name: (identifier) @name) @definition.class
(struct_declaration name: (identifier) @name) @definition.class
(record_declaration name: (identifier) @name) @definition.class
(interface_declaration name: (identifier) @name) @definition.interface
(enum_declaration name: (identifier) @name) @definition.enum
(delegate_declaration name: (identifier) @name) @definition.type
(namespace_declaration name: (_) @name) @definition.module
(method_declaration name: (identifier) @name) @definition.method
(constructor_declaration name: (identifier) @name) @definition.constructor
(property_declaration name: (identifier) @name) @definition.field
(field_declaration (variable_declaration (variable_declarator name: (identifier) @name))) @definition.field

; Imports
(using_directive !name [(identifier) (qualified_name)] @import.module)
(using_directive name: (identifier) @import.alias [(qualified_name) (identifier)] @import.module .)

; References
(invocation_expression function: (identifier) @reference)
(member_access_expression name: (identifier) @reference)
(object_creation_expression type: (identifier) @reference)
(base_list (identifier) @reference)
(parameter type: (identifier) @reference)
(variable_declaration type: (identifier) @reference)
(method_declaration returns: (identifier) @reference)
(property_declaration type: (identifier) @reference)
(generic_name (identifier) @reference)
(type_argument_list (identifier) @reference)
(attribute name: (identifier) @reference)
