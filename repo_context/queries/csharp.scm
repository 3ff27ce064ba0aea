; Definitions
(class_declaration name: (identifier) @name) @definition.class
(struct_declaration name: (identifier) @name) @definition.class
(record_declaration name: (identifier) @name) @definition.class
(interface_declaration name: (identifier) @name) @definition.interface
(enum_declaration name: (identifier) @name) @definition.enum
(delegate_declaration name: (identifier) @name) @definition.type
(namespace_declaration name: (_) @name) @definition.module
(enum_member_declaration name: (identifier) @name) @definition.field
(method_declaration name: (identifier) @name) @definition.method
(constructor_declaration name: (identifier) @name) @definition.constructor
(property_declaration name: (identifier) @name) @definition.field
(field_declaration (variable_declaration (variable_declarator name: (identifier) @name))) @definition.field

; Imports
(using_directive !name [(identifier) (qualified_name)] @import.module)
(namespace_declaration name: (_) @package)
(file_scoped_namespace_declaration name: (_) @package)
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
(member_access_expression expression: (identifier) @reference.type)
(nullable_type type: (identifier) @reference)
(array_type type: (identifier) @reference)
(cast_expression type: (identifier) @reference)
(is_expression right: (identifier) @reference)
(typeof_expression type: (identifier) @reference)
(declaration_pattern type: (identifier) @reference)
(constant_pattern (identifier) @reference)
(catch_declaration type: (identifier) @reference)
(type_parameter_constraint type: (identifier) @reference)
(generic_name (identifier) @reference)
(type_argument_list (identifier) @reference)
(attribute name: (identifier) @reference)
