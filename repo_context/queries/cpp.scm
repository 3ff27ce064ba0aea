; inherits: c_family

; Definitions
(function_definition declarator: (function_declarator
  declarator: [(identifier) (field_identifier) (operator_name) (destructor_name)] @name)) @definition.function
(function_definition declarator: (_
  (function_declarator declarator: [(identifier) (field_identifier)] @name))) @definition.function
(function_definition declarator: (function_declarator declarator: (qualified_identifier
  scope: (_) @parent name: [(identifier) (operator_name) (destructor_name)] @name))) @definition.method
(function_definition declarator: (function_declarator declarator: (qualified_identifier
  name: (qualified_identifier
    scope: (_) @parent name: [(identifier) (operator_name) (destructor_name)] @name)))) @definition.method
(function_definition declarator: (_ (function_declarator declarator: (qualified_identifier
  scope: (_) @parent name: (identifier) @name)))) @definition.method
([(translation_unit (declaration
    declarator: (function_declarator declarator: (identifier) @name)) @definition.function)
  (preproc_ifdef (declaration
    declarator: (function_declarator declarator: (identifier) @name)) @definition.function)
  (preproc_if (declaration
    declarator: (function_declarator declarator: (identifier) @name)) @definition.function)
  (preproc_else (declaration
    declarator: (function_declarator declarator: (identifier) @name)) @definition.function)
  (template_declaration (declaration
    declarator: (function_declarator declarator: (identifier) @name)) @definition.function)])
([(translation_unit (declaration
    declarator: (_ (function_declarator declarator: (identifier) @name))) @definition.function)
  (preproc_ifdef (declaration
    declarator: (_ (function_declarator declarator: (identifier) @name))) @definition.function)
  (preproc_if (declaration
    declarator: (_ (function_declarator declarator: (identifier) @name))) @definition.function)
  (preproc_else (declaration
    declarator: (_ (function_declarator declarator: (identifier) @name))) @definition.function)])
(declaration_list (declaration
  declarator: (function_declarator declarator: (identifier) @name)) @definition.function)
(field_declaration_list (declaration
  declarator: (function_declarator declarator: (identifier) @name)) @definition.constructor)
(field_declaration declarator: (function_declarator
  declarator: [(field_identifier) (operator_name)] @name)) @definition.method
(field_declaration declarator: (_
  (function_declarator declarator: (field_identifier) @name))) @definition.method
(field_declaration declarator: (_ declarator: (field_identifier) @name)) @definition.field
(class_specifier name: (type_identifier) @name body: (_)) @definition.class
(namespace_definition name: (namespace_identifier) @name) @definition.module
(alias_declaration name: (type_identifier) @name) @definition.type

; References
(call_expression function: (qualified_identifier name: (identifier) @reference))
