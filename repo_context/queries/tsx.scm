; Added to typescript.scm: what only the TSX grammar has
(jsx_opening_element name: (identifier) @reference)
(jsx_self_closing_element name: (identifier) @reference)
