; inherits: c_family

; Definitions
(function_definition declarator: (function_declarator declarator: (identifier) @name)) @definition.function
(function_definition declarator: (pointer_declarator
  declarator: (function_declarator declarator: (identifier) @name))) @definition.function
([(translation_unit (declaration
    declarator: (function_declarator declarator: (identifier) @name)) @definition.function)
  (preproc_ifdef (declaration
    declarator: (function_declarator declarator: (identifier) @name)) @definition.function)
  (preproc_if (declaration
    declarator: (function_declarator declarator: (identifier) @name)) @definition.function)
  (preproc_else (declaration
    declarator: (function_declarator declarator: (identifier) @name)) @definition.function)])
([(translation_unit (declaration declarator: (pointer_declarator
    declarator: (function_declarator declarator: (identifier) @name))) @definition.function)
  (preproc_ifdef (declaration declarator: (pointer_declarator
    declarator: (function_declarator declarator: (identifier) @name))) @definition.function)
  (preproc_if (declaration declarator: (pointer_declarator
    declarator: (function_declarator declarator: (identifier) @name))) @definition.function)
  (preproc_else (declaration declarator: (pointer_declarator
    declarator: (function_declarator declarator: (identifier) @name))) @definition.function)])
(field_declaration declarator: (pointer_declarator declarator: (field_identifier) @name)) @definition.field
