// Counts the terms of chunks: what repo_context/chunk_terms.py does, in compiled code. Plain C but for the linkage, since
// the standard library's headers would take longer to compile than all of this.

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

namespace {

template <class T> struct List {
    T *items = nullptr;
    int64_t size = 0, room = 0;

    T *extend(int64_t more) {
        if (size + more > room) {
            room = (size + more) * 2 + 64;
            items = static_cast<T *>(realloc(items, room * sizeof(T)));
            // Where there is no memory left the process ends, and its parent parses what it was given.
            if (!items) abort();
        }
        size += more;
        return items + size - more;
    }
    void push(T item) { *extend(1) = item; }
    ~List() { free(items); }
};

// Text → number, in the order in which texts came; they lie one after another, each with a line feed behind it.
struct Numbers {
    List<char> texts;
    List<int64_t> starts;
    List<uint64_t> hashes;
    struct Slot {
        uint32_t mark; // of the hash: other texts are told from this one without a look at them
        int32_t number;
    };
    Slot *slots = nullptr;
    uint64_t mask = 0;

    static uint64_t hash_of(const char *text, int64_t length) {
        uint64_t hash = 0x9E3779B97F4A7C15u ^ length, word;
        for (; length >= 8; text += 8, length -= 8) {
            memcpy(&word, text, 8);
            hash = (hash ^ word) * 0xD6E8FEB86659FD93u;
            hash ^= hash >> 32;
        }
        word = 0;
        memcpy(&word, text, length);
        hash = (hash ^ word) * 0xD6E8FEB86659FD93u;
        return hash ^ hash >> 32;
    }

    // Returns the place of a text's slot: one that holds its number, or -1.
    uint64_t slot_of(const char *text, int64_t length, uint64_t hash) {
        if (hashes.size * 2 >= (int64_t)mask) grow();
        uint64_t place = hash & mask;
        for (int32_t number; (number = slots[place].number) >= 0; place = (place + 1) & mask)
            if (slots[place].mark == hash >> 32 && starts.items[number + 1] - starts.items[number] - 1 == length &&
                !memcmp(texts.items + starts.items[number], text, length))
                break;
        return place;
    }

    int32_t add(const char *text, int64_t length, uint64_t hash, uint64_t place) {
        int32_t number = hashes.size;
        slots[place] = {uint32_t(hash >> 32), number};
        hashes.push(hash);
        char *copy = texts.extend(length + 1);
        memcpy(copy, text, length);
        copy[length] = '\n';
        starts.push(texts.size);
        return number;
    }

    int32_t number_of(const char *text, int64_t length) {
        uint64_t hash = hash_of(text, length), place = slot_of(text, length, hash);
        return slots[place].number >= 0 ? slots[place].number : add(text, length, hash, place);
    }

    void grow() {
        if (!starts.size) starts.push(0);
        free(slots);
        mask = (mask + 1) * 4 > 1024 ? (mask + 1) * 4 - 1 : 1023;
        slots = static_cast<Slot *>(malloc((mask + 1) * sizeof(Slot)));
        if (!slots) abort();
        memset(slots, -1, (mask + 1) * sizeof(Slot));
        for (int32_t number = 0; number < hashes.size; number++) {
            uint64_t hash = hashes.items[number], place = hash & mask;
            while (slots[place].number >= 0) place = (place + 1) & mask;
            slots[place] = {uint32_t(hash >> 32), number};
        }
    }
    ~Numbers() { free(slots); }
};

bool is_upper(uint8_t c) { return c >= 'A' && c <= 'Z'; }
bool is_lower(uint8_t c) { return c >= 'a' && c <= 'z'; }
bool is_digit(uint8_t c) { return c >= '0' && c <= '9'; }
bool in_word(uint8_t c) { return is_upper(c) || is_lower(c) || is_digit(c) || c == '_' || c > 127; }

struct Counter {
    bool part_of_word[256];
    Numbers words, terms;
    List<int32_t> term_lists, list_starts;   // word → its terms
    List<int32_t> tally, present;            // of the chunk that is read: term → how often; the terms that occur
    List<int32_t> pointers, term_ids, counts; // what was counted

    Counter() {
        for (int c = 0; c < 256; c++) part_of_word[c] = in_word(c);
        list_starts.push(0);
    }

    void add_term(const char *text, int64_t length) { term_lists.push(terms.number_of(text, length)); }
    void end_word() { list_starts.push(term_lists.size); }

    // terms.terms_of_word for a word of ASCII characters, whose first digits are not part of it.
    void split(const char *word, int64_t length) {
        while (length && is_digit(*word)) word++, length--;
        if (!length) return end_word();
        List<char> lower;
        char *small = lower.extend(length);
        for (int64_t i = 0; i < length; i++) small[i] = is_upper(word[i]) ? word[i] + 32 : word[i];
        add_term(small, length);
        int64_t parts = 0, first = 0, held = 0;
        for (int64_t i = 0, end; i < length; i = end) {
            for (end = i; end < length && is_upper(word[end]); end++) {}
            if (end - i > 1 && end < length && is_lower(word[end])) end--;
            else if (end - i < 2) while (end < length && is_lower(word[end])) end++;
            if (end == i) {
                end++;
                continue;
            }
            // The first part counts when there is a second.
            if (parts++ == 0) {
                first = i, held = end - i;
                continue;
            }
            if (held > 1) add_term(small + first, held);
            held = 0;
            if (end - i > 1) add_term(small + i, end - i);
        }
        if (parts < 2) {
            int64_t bare = 0, last = length;
            while (bare < length && small[bare] == '_') bare++;
            while (last > bare && small[last - 1] == '_') last--;
            if (last - bare < length && last - bare > 1) add_term(small + bare, last - bare);
        }
        end_word();
    }

    void count_word(int32_t word) {
        for (int32_t i = list_starts.items[word]; i < list_starts.items[word + 1]; i++) {
            int32_t term = term_lists.items[i];
            if (term >= tally.size) {
                int64_t more = terms.hashes.size - tally.size;
                memset(tally.extend(more), 0, more * sizeof(int32_t));
            }
            if (!tally.items[term]++) present.push(term);
        }
    }

    void end_chunk() {
        static const int gaps[] = {701, 301, 132, 57, 23, 10, 4, 1};
        int32_t *items = present.items;
        for (int gap : gaps)
            for (int64_t i = gap; i < present.size; i++) {
                int32_t item = items[i];
                int64_t j = i;
                for (; j >= gap && items[j - gap] > item; j -= gap) items[j] = items[j - gap];
                items[j] = item;
            }
        int32_t *ids = term_ids.extend(present.size), *times = counts.extend(present.size);
        for (int64_t i = 0; i < present.size; i++) {
            ids[i] = items[i];
            times[i] = tally.items[items[i]];
            tally.items[items[i]] = 0;
        }
        present.size = 0;
        pointers.push(term_ids.size);
    }
};

} // namespace

extern "C" {

Counter *midfill_terms_new() { return new Counter(); }
void midfill_terms_free(Counter *counter) { delete counter; }

// Begins a new result.
void midfill_terms_begin(Counter *counter) {
    counter->pointers.size = counter->term_ids.size = counter->counts.size = 0;
    counter->pointers.push(0);
}

// Counts from `start` on; a chunk ends at a zero byte and at the end. Returns `length`, or where a word stands that is not
// all ASCII and not known yet: the caller says what its terms are and has the rest counted from there on.
int64_t midfill_terms_count(Counter *counter, const char *text, int64_t start, int64_t length) {
    const bool *part_of_word = counter->part_of_word;
    for (int64_t i = start; i < length;) {
        uint8_t c = text[i];
        if (!part_of_word[c]) {
            if (!c) counter->end_chunk();
            i++;
            continue;
        }
        int64_t first = i;
        uint8_t all = 0;
        for (; i < length && part_of_word[c = text[i]]; i++) all |= c;
        uint64_t hash = Numbers::hash_of(text + first, i - first);
        uint64_t place = counter->words.slot_of(text + first, i - first, hash);
        int32_t word = counter->words.slots[place].number;
        if (word < 0) {
            if (all > 127) return first;
            word = counter->words.add(text + first, i - first, hash, place);
            counter->split(text + first, i - first);
        }
        counter->count_word(word);
    }
    counter->end_chunk();
    return length;
}

// Says what a word's terms are: each with a zero byte behind it.
void midfill_terms_learn(Counter *counter, const char *word, int64_t length, const char *terms, int64_t terms_length) {
    counter->words.number_of(word, length);
    for (int64_t i = 0, end; i < terms_length; i = end + 1) {
        for (end = i; terms[end]; end++) {}
        counter->add_term(terms + i, end - i);
    }
    counter->end_word();
}

int64_t midfill_terms_result(Counter *counter, int32_t **pointers, int32_t **term_ids, int32_t **counts) {
    *pointers = counter->pointers.items;
    *term_ids = counter->term_ids.items;
    *counts = counter->counts.items;
    return counter->term_ids.size;
}

// Returns the terms numbered `first` and up, each with a line feed behind it.
const char *midfill_terms_new_terms(Counter *counter, int64_t first, int64_t *length) {
    Numbers *terms = &counter->terms;
    int64_t start = first < terms->hashes.size ? terms->starts.items[first] : terms->texts.size;
    *length = terms->texts.size - start;
    return terms->texts.items + start;
}
}
