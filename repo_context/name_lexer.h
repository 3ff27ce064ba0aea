// Finds the names that Python and Java files use: what repo_context/name_lexer.py does, function by function, in compiled
// code. Included by term_kernel.cpp.

struct Token {
    const char *text;
    int32_t length;

    bool is(const char *other) const { return !strncmp(text, other, length) && !other[length]; }
    bool is(char other) const { return length == 1 && *text == other; }
    bool is_word() const {
        uint8_t c = *text;
        return is_upper(c) || is_lower(c) || c == '_' || c == '$' || c > 127;
    }
    template <int N> bool among(const char *const (&others)[N]) const {
        for (const char *other : others)
            if (*other == *text && is(other)) return true;
        return false;
    }
};

const char *const python_keywords[] = {
    "False", "None", "True", "and", "as", "assert", "async", "await", "break", "class", "continue", "def",
    "del", "elif", "else", "except", "finally", "for", "from", "global", "if", "import", "in", "is",
    "lambda", "nonlocal", "not", "or", "pass", "raise", "return", "try", "while", "with", "yield"};
const char *const java_keywords[] = {
    "abstract", "assert", "boolean", "break", "byte", "case", "catch", "char", "class", "const", "continue", "default",
    "do", "double", "else", "enum", "extends", "false", "final", "finally", "float", "for", "goto", "if", "implements",
    "import", "instanceof", "int", "interface", "long", "native", "new", "null", "package", "private", "protected",
    "public", "return", "short", "static", "strictfp", "super", "switch", "synchronized", "this", "throw", "throws",
    "transient", "true", "try", "void", "volatile", "while"};
const char *const primitive[] = {"boolean", "byte", "char", "double", "float", "int", "long", "short", "void"};

struct NameFinder {
    static const int max_nested = 8;
    const char *text;
    List<Token> tokens;
    Numbers found;

    void push(const char *token, int64_t length) { tokens.push({token, (int32_t)length}); }
    bool at(int64_t place, int64_t end, const char *expected) const {
        int64_t length = strlen(expected);
        return place + length <= end && !memcmp(text + place, expected, length);
    }
    static bool is_quote(char c) { return c == '"' || c == '\''; }
    bool triple(int64_t place, int64_t end) const { return at(place, end, text[place] == '"' ? "\"\"\"" : "'''"); }

    // Returns one past the string whose first quote stands at `place`.
    int64_t string_end(int64_t place, int64_t end, bool may_be_triple) const {
        char quote = text[place];
        bool three = may_be_triple && triple(place, end);
        for (place += three ? 3 : 1; place < end;) {
            if (text[place] == '\\') place += 2;
            else if (three && text[place] == quote && triple(place, end)) return place + 3;
            else if (!three && text[place] == quote) return place + 1;
            else if (!three && text[place] == '\n') return place;
            else place++;
        }
        return end;
    }

    int64_t word_end(int64_t place, int64_t end, bool dollar) const {
        while (place < end && (in_word(text[place]) || (dollar && text[place] == '$'))) place++;
        return place;
    }

    int64_t number_end(int64_t place, int64_t end) const {
        for (place += text[place] == '.' ? 2 : 1; place < end;) {
            uint8_t c = text[place];
            if ((c == 'e' || c == 'E') && place + 1 < end && (text[place + 1] == '+' || text[place + 1] == '-')) place += 2;
            else if (c < 128 && (in_word(c) || c == '.')) place++;
            else break;
        }
        return place;
    }

    bool starts_number(int64_t place, int64_t end) const {
        return is_digit(text[place]) || (text[place] == '.' && place + 1 < end && is_digit(text[place + 1]));
    }

    void python_tokens(int64_t place, int64_t end, int nested) {
        int64_t depth = nested ? 1 : 0;
        while (place < end) {
            char c = text[place];
            int64_t first = place;
            if (c == ' ' || c == '\t' || c == '\r' || c == '\f') place++;
            else if (c == '#') while (place < end && text[place] != '\n') place++;
            else if (at(place, end, "\\\n")) place += 2;
            else if (c == '\n') {
                place++;
                if (!depth) push("\n", 1);
            } else if (int64_t quote = formatted_quote(place, end)) place = formatted(quote, end, nested);
            else if (int64_t quote = string_quote(place, end)) {
                place = string_end(quote - 1, end, true);
                push("\"", 1);
            } else if (Token{text + place, 1}.is_word() && c != '$') {
                place = word_end(place, end, false);
                push(text + first, place - first);
            } else if (starts_number(place, end)) {
                place = number_end(place, end);
                push("0", 1);
            } else {
                place += at(place, end, "...") ? 3 : at(place, end, "->") || at(place, end, ":=") ? 2 : 1;
                depth += c == '(' || c == '[' || c == '{';
                depth -= depth && (c == ')' || c == ']' || c == '}');
                push(text + first, place - first);
            }
        }
    }

    // Both return one more than where the quote stands; 0 where there is no such string.
    int64_t formatted_quote(int64_t place, int64_t end) const {
        char first = text[place] | 32, second = place + 1 < end ? text[place + 1] | 32 : 0;
        int64_t quote = first == 'f' ? place + 1 + (second == 'r') : first == 'r' && second == 'f' ? place + 2 : end;
        return quote < end && is_quote(text[quote]) ? quote + 1 : 0;
    }
    int64_t string_quote(int64_t place, int64_t end) const {
        for (int i = 0; i < 2 && place < end && strchr("rRbBuU", text[place]) && text[place]; i++) place++;
        return place < end && is_quote(text[place]) ? place + 1 : 0;
    }

    // `start` is one more than where the first quote stands.
    int64_t formatted(int64_t start, int64_t end, int nested) {
        char quote = text[start - 1];
        bool three = triple(start - 1, end);
        push("\"", 1);
        for (start += three ? 2 : 0; start < end;) {
            char c = text[start];
            if (c == '\\') start += 2;
            else if (c == quote && (!three || triple(start, end))) return start + (three ? 3 : 1);
            else if (c == '\n' && !three) return start;
            else if (at(start, end, "{{")) start += 2;
            else if (c == '{' && nested < max_nested) {
                int64_t last = closing_brace(start, end, three);
                push("{", 1);
                python_tokens(start + 1, last, nested + 1);
                push("}", 1);
                start = last < end && text[last] == '}' ? last + 1 : last;
            } else start++;
        }
        return end;
    }

    int64_t closing_brace(int64_t start, int64_t end, bool three) const {
        int64_t depth = 0;
        for (int64_t place = start; place < end; place++) {
            depth += text[place] == '{';
            if (text[place] == '}' && !--depth) return place;
            if (text[place] == '\n' && !three) return place;
        }
        return end;
    }

    void java_tokens(int64_t end) {
        for (int64_t place = 0; place < end;) {
            char c = text[place];
            int64_t first = place;
            if (c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\f') place++;
            else if (at(place, end, "//")) while (place < end && text[place] != '\n') place++;
            else if (at(place, end, "/*")) {
                for (place += 2; place < end && !at(place, end, "*/"); place++) {}
                place = place < end ? place + 2 : end;
            } else if (is_quote(c)) {
                place = string_end(place, end, c == '"');
                push("\"", 1);
            } else if (Token{text + place, 1}.is_word()) {
                place = word_end(place, end, true);
                push(text + first, place - first);
            } else if (starts_number(place, end)) {
                place = number_end(place, end);
                push("0", 1);
            } else {
                place += at(place, end, "...") ? 3 : at(place, end, "::") || at(place, end, "->") ? 2 : 1;
                push(text + first, place - first);
            }
        }
    }

    void add(const Token &token) { found.number_of(token.text, token.length); }

    void start(const char *source) {
        text = source;
        tokens.size = 0;
        found.clear();
    }

    void python_names(const char *source, int64_t length) {
        start(source);
        push("\n", 1);
        python_tokens(0, length, 0);
        push("\n", 1);
        push("\n", 1);
        PythonNames state{*this};
        for (int64_t place = 1; place < tokens.size - 2; place++) state.read(place);
    }

    struct PythonNames {
        NameFinder &names;
        int64_t first = 0, type_depth = -1;
        bool plain = false;
        List<char> brackets;

        const Token &token(int64_t place) const { return names.tokens.items[place]; }
        char innermost() const { return brackets.size ? brackets.items[brackets.size - 1] : 0; }

        void read(int64_t place) {
            const Token &here = token(place), &before = token(place - 1);
            bool word = here.is_word(), keyword = word && here.among(python_keywords);
            if (!here.is('\n') && starts_statement(before)) {
                first = place;
                type_depth = -1;
                plain = word && !keyword;
            }
            if (!word) return read_mark(place, here, before);
            plain = plain && !keyword && (place == first || before.is('.'));
            if (!keyword && is_used(place, before, token(place + 1))) names.add(here);
        }

        bool starts_statement(const Token &before) const {
            if (before.is('\n')) return true;
            if (brackets.size) return false;
            return before.is(';') || (before.is(':') && type_depth < 0 && token(first).among(python_keywords));
        }

        void read_mark(int64_t place, const Token &here, const Token &before) {
            int64_t depth = brackets.size;
            bool ends_type = depth <= type_depth;
            char c = here.length == 1 ? *here.text : 0;
            if (c == '(' || c == '[' || c == '{') {
                bool defines = c == '(' && before.is_word() && place > 1;
                brackets.push(defines && token(place - 2).is("def") ? 'd' : defines && token(place - 2).is("class") ? 'c' : c);
            } else if (c == ')' || c == ']' || c == '}') {
                if (ends_type) type_depth = -1;
                if (brackets.size) brackets.size--;
            } else if (c == '\n') {
                type_depth = -1;
                brackets.size = 0;
            } else if (c == ':' && ends_type) type_depth = -1;
            else if (here.is("->") || (c == ':' && (depth ? innermost() == 'd' : plain)) || (c == '=' && names_type()))
                type_depth = depth;
            else if (ends_type && (c == '=' || (c == ',' && depth))) type_depth = -1;
            plain = plain && c == '.';
        }

        bool names_type() const {
            const Token &name = token(first + 1);
            return token(first).is("type") && name.is_word() && !name.among(python_keywords) && !brackets.size;
        }

        bool is_used(int64_t place, const Token &before, const Token &after) const {
            static const char *const before_type[] = {":", "->", "[", ",", "="};
            static const char *const after_type[] = {"=", "\n", ",", ")", "]", "[", ":"};
            if (before.is('.')) return !token(first).is("import") && !token(first).is("from");
            if (after.is('(')) return !before.is("def") && !before.is("class");
            if (place == first + 1 && (before.is("type") || (before.is('@') && after.is('\n')))) return true;
            if (innermost() == 'c' && (before.is('(') || before.is(',')) && (after.is(',') || after.is(')'))) return true;
            return type_depth >= 0 && before.among(before_type) && after.among(after_type);
        }
    };

    void java_names(const char *source, int64_t length) {
        start(source);
        push(";", 1);
        java_tokens(length);
        for (int i = 0; i < 3; i++) push(";", 1);
        bool in_clause = false, in_annotation = false;
        for (int64_t place = 1; place < tokens.size - 3; place++) {
            const Token *token = tokens.items + place;
            if (in_clause) in_clause = !token->is(';');
            else if (!token->is_word() || token->among(java_keywords)) in_clause = token->is("import") || token->is("package");
            else if (in_annotation || token[-1].is('@')) {
                if (!in_annotation && !token[1].is('.')) add(*token);
                in_annotation = token[1].is('.');
            } else if (is_used_in_java(token)) add(*token);
        }
    }

    static bool is_plain(const Token &token) { return token.is_word() && !token.among(java_keywords); }

    static bool is_used_in_java(const Token *token) {
        static const char *const definers[] = {"class", "interface", "enum", "record"};
        static const char *const after_value[] = {")", ";", "=", "?", ":", "+", "-", "*", "/", "%"};
        const Token &before = token[-1], &after = token[1];
        if (before.is('.') || before.is("::")) return before.is('.');
        bool is_type = is_upper(*token->text), made = before.is("new");
        if (after.is('(')) {
            bool defines = is_plain(before) || before.among(primitive) || before.is(']') || before.is('>');
            return is_type || made ? made : !defines;
        }
        if (!is_type) return token->is("var") && after.is_word();
        if (before.among(definers)) return false;
        bool as_value = token->length > 1;
        for (int32_t i = 0; i < token->length; i++) as_value = as_value && !is_lower(token->text[i]);
        as_value = as_value || after.among(after_value) || (before.is('(') && after.is(','));
        return !as_value || stands_as_type(token);
    }

    static bool stands_as_type(const Token *token) {
        static const char *const befores[] = {"new", "<", "extends", "implements", "throws", "instanceof"};
        static const char *const afters[] = {"<", ".", "::", "...", ">"};
        const Token &before = token[-1], &after = token[1], &second = token[2];
        if (before.among(befores) || after.among(afters) || is_plain(after)) return true;
        return before.is('(') && after.is(')') && (second.is_word() || second.is('(') || second.is('"'));
    }
};
