; Definitions
(class name: (constant) @name) @definition.class
(class name: (scope_resolution name: (constant) @name)) @definition.class
(module name: (constant) @name) @definition.module
(module name: (scope_resolution name: (constant) @name)) @definition.module
(method name: (_) @name) @definition.method
(singleton_method name: (_) @name) @definition.method
(assignment left: (constant) @name) @definition.variable

; Imports
((call method: (identifier) @_require arguments: (argument_list . (string (string_content) @import.module)))
  (#eq? @_require "require"))
((call method: (identifier) @_require arguments: (argument_list . (string (string_content) @import.relative)))
  (#eq? @_require "require_relative"))
((call method: (identifier) @_require arguments: (argument_list . (string (string_content) @import.module)))
  (#eq? @_require "load"))
((call method: (identifier) @_require
  arguments: (argument_list . (simple_symbol) (string (string_content) @import.module)))
  (#eq? @_require "autoload"))

; References
(call method: (identifier) @reference)
(superclass (constant) @reference)
(superclass (scope_resolution name: (constant) @reference))
(call receiver: (constant) @reference)
(scope_resolution name: (constant) @reference)
(argument_list (constant) @reference)
