// A whole decode step in one call: token ids in, logits out.
//
// Matrices are quantised to 8 or 4 bits in groups of 64 along a row, with one half-precision scale per group, and lie
// interleaved: 32 rows x 4 columns side by side, which is what the dot-product instructions eat (`packing.py` writes
// them). Activations are quantised to 8 bits per token and group. Keys lie transposed, so that the scores of
// neighbouring positions are neighbours too. Everything else is float.
//
// Every thread of the pool runs the same code on its share of tokens, rows or heads, and meets the others at a barrier
// after each phase.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include "vectors.h"

namespace {

constexpr int GROUP = 64, BLOCK = 32, PIECE = 256;  // columns of a scale; interleaved rows; tokens read at a time
constexpr int AHEAD = 16 << 10;                     // bytes between the weights in use and those asked of memory
constexpr int TILE_ROWS = 8;                        // query rows that read the same keys together

}  // namespace

extern "C" {
struct Matrix {
    const uint8_t* weights;  // [blocks][groups][GROUP * BLOCK * bits / 8]
    const uint16_t* scales;  // [blocks][groups][BLOCK]
    const float* bias;       // [rows], or null
    int32_t rows, columns, bits, reserved;
};
struct Layer {
    Matrix query_key_value, output, gate_up, down;
    const float *attention_norm, *feed_forward_norm;
};
struct Shape {
    const Layer* layers;
    Matrix embedding, head;
    const float* norm;
    const float *cosines, *sines;  // [positions][head_dim / 2]
    int32_t layer_count, hidden, intermediate, heads, key_value_heads, head_dim, vocabulary;
    float epsilon;
};
struct Cache {
    // Halves: [layers][kv_heads][capacity / BLOCK][width][BLOCK] and [layers][kv_heads][width / BLOCK][capacity][BLOCK],
    // both of which attention reads from front to back.
    uint16_t *keys, *values;
    int64_t capacity;         // a multiple of BLOCK
};
}

namespace {

int padded(int n, int grain) { return (n + grain - 1) / grain * grain; }

// Activations quantised per token and group.
struct Activations {
    std::vector<int8_t> values;
    std::vector<float> scales;
    std::vector<int32_t> sums;  // of a group's values: what an offset of 1 in every weight would add
    int columns = 0, groups = 0;

    void resize(int tokens, int width) {
        columns = padded(width, GROUP), groups = columns / GROUP;
        values.assign(size_t(tokens) * columns, 0);
        scales.resize(size_t(tokens) * groups);
        sums.resize(size_t(tokens) * groups);
    }

    void quantise(int token, const float* input, int width) {
        for (int group = 0; group < groups; group++) {
            const float* x = input + group * GROUP;
            const int count = std::min(GROUP, width - group * GROUP);
            int8_t* out = &values[size_t(token) * columns + group * GROUP];
            float largest = 0;
            for (int i = 0; i < count; i++) largest = std::max(largest, std::fabs(x[i]));
            const float inverse = largest > 0 ? 127.f / largest : 0;
            int32_t sum = 0;
            for (int i = 0; i < count; i++) {
                // Adding 1.5 * 2^23 leaves the rounded number in the low bits.
                const int32_t rounded = int32_t(to_bits(x[i] * inverse + 12582912.f)) - 0x4b400000;
                out[i] = int8_t(rounded);
                sum += rounded;
            }
            scales[size_t(token) * groups + group] = largest / 127.f;
            sums[size_t(token) * groups + group] = sum;
        }
    }
};

// Where a product goes: out[token * stride + row], added to what is there or not.
struct Target {
    float* out;
    int64_t stride;
    float keep;  // 1 adds to the residual stream, 0 replaces
};

template <int BITS, int TOKENS>
void multiply_tile(const Matrix& m, int block, const Activations& a, int first, const Target& target) {
    constexpr int BYTES = GROUP * BLOCK * BITS / 8, QUAD = BLOCK * 4;
    constexpr int OFFSET = BITS == 8 ? BYTE_OFFSET : 8;
    alignas(64) float sums[TOKENS][BLOCK];
    for (int part = 0; part < BLOCK; part += 2 * WIDTH) {
        const uint8_t* weights = m.weights + size_t(block) * a.groups * BYTES + part * 4;
        const uint16_t* scales = m.scales + size_t(block) * a.groups * BLOCK + part;
        Floats total[TOKENS][2];
        for (auto& pair : total) pair[0] = pair[1] = floats(0);
        for (int group = 0; group < a.groups; group++, weights += BYTES, scales += BLOCK) {
            const int8_t* x[TOKENS];
            Ints sum[TOKENS][2];
            for (int t = 0; t < TOKENS; t++) {
                x[t] = &a.values[size_t(first + t) * a.columns + group * GROUP];
                sum[t][0] = sum[t][1] = ints(OFFSET ? -OFFSET * a.sums[size_t(first + t) * a.groups + group] : 0);
            }
            const auto fetch = [&](int quad) {  // into the second-level cache, where the next tile finds it too
                if (TOKENS > 1 && first == 0) {
                    __builtin_prefetch(weights + AHEAD + quad * QUAD, 0, 2);
                    __builtin_prefetch(weights + AHEAD + quad * QUAD + QUAD / 2, 0, 2);
                }
            };
            auto activation = [&](int t, int quad) { int32_t four; std::memcpy(&four, x[t] + 4 * quad, 4); return four; };
            if constexpr (BITS == 8) {
                for (int quad = 0; quad < GROUP / 4; quad++) {
                    fetch(quad);
                    const Bytes w0 = load_bytes(weights + quad * QUAD), w1 = load_bytes(weights + quad * QUAD + 4 * WIDTH);
                    for (int t = 0; t < TOKENS; t++) {
                        sum[t][0] = dot_bytes(sum[t][0], w0, activation(t, quad));
                        sum[t][1] = dot_bytes(sum[t][1], w1, activation(t, quad));
                    }
                }
            } else {  // a byte holds a weight of the group's first half and, above it, one of its second half
                for (int quad = 0; quad < GROUP / 8; quad++) {
                    fetch(quad);
                    const Bytes w0 = load_bytes(weights + quad * QUAD), w1 = load_bytes(weights + quad * QUAD + 4 * WIDTH);
                    for (int t = 0; t < TOKENS; t++) {
                        const int32_t low = activation(t, quad), high = activation(t, quad + GROUP / 8);
                        sum[t][0] = dot_nibbles(dot_nibbles(sum[t][0], low_nibbles(w0), low), high_nibbles(w0), high);
                        sum[t][1] = dot_nibbles(dot_nibbles(sum[t][1], low_nibbles(w1), low), high_nibbles(w1), high);
                    }
                }
            }
            const Floats scale0 = load_halves(scales), scale1 = load_halves(scales + WIDTH);
            for (int t = 0; t < TOKENS; t++) {
                const Floats scale = floats(a.scales[size_t(first + t) * a.groups + group]);
                total[t][0] = multiply_add(to_floats(sum[t][0]), multiply(scale0, scale), total[t][0]);
                total[t][1] = multiply_add(to_floats(sum[t][1]), multiply(scale1, scale), total[t][1]);
            }
        }
        for (int t = 0; t < TOKENS; t++) {
            store(&sums[t][part], total[t][0]);
            store(&sums[t][part + WIDTH], total[t][1]);
        }
    }
    const int row = block * BLOCK, rows = std::min(BLOCK, m.rows - row);
    for (int t = 0; t < TOKENS; t++) {
        float* out = target.out + (first + t) * target.stride + row;
        if (m.bias) for (int i = 0; i < rows; i++) sums[t][i] += m.bias[row + i];
        if (target.keep) for (int i = 0; i < rows; i++) sums[t][i] += out[i];
        std::memcpy(out, sums[t], rows * sizeof(float));
    }
}

template <int BITS, int TOKENS>
void multiply_tiles(const Matrix& m, int block, const Activations& a, int first, int tokens, const Target& target) {
    for (; tokens >= TOKENS; tokens -= TOKENS, first += TOKENS) multiply_tile<BITS, TOKENS>(m, block, a, first, target);
    if constexpr (TOKENS > 1) multiply_tiles<BITS, TOKENS - 1>(m, block, a, first, tokens, target);
}

float exponential(float x) {  // within 2e-7 of exp(x) for x <= 0; a polynomial, so that loops over it are vectorised
    const float y = std::max(x, -87.f) * 1.44269504f;
    const float shifted = y + 12582912.f;
    const int32_t whole = int32_t(to_bits(shifted)) - 0x4b400000;
    const float f = (y - float(whole)) * 0.693147181f;
    const float p = 1 + f * (1 + f * (0.5f + f * (0.166666667f + f * (0.0416666667f + f * (8.3333333e-3f + f * 1.3888889e-3f)))));
    return from_bits(to_bits(p) + (uint32_t(whole) << 23));
}

float gate(float x) {  // silu
    const float e = exponential(-std::fabs(x));
    return x * (x >= 0 ? 1.f : e) / (1.f + e);
}

void normalise(const float* x, const float* weight, float epsilon, int width, float* out) {
    float squares = 0;
    for (int i = 0; i < width; i++) squares += x[i] * x[i];
    const float scale = 1.f / std::sqrt(squares / width + epsilon);
    for (int i = 0; i < width; i++) out[i] = weight[i] * (x[i] * scale);
}

void read_row(const Matrix& m, int row, float* out) {  // of the embedding, which always has 8 bits
    const int groups = padded(m.columns, GROUP) / GROUP, block = row / BLOCK, lane = row % BLOCK;
    for (int k = 0; k < m.columns; k++) {
        const size_t group = size_t(block) * groups + k / GROUP;
        const int within = k % GROUP;
        const int stored = m.weights[group * GROUP * BLOCK + within / 4 * BLOCK * 4 + lane * 4 + within % 4];
        out[k] = (stored - 128) * half_to_float(m.scales[group * BLOCK + lane]);
    }
}

void pause() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

// Threads that meet at a barrier. Within a step they spin; between steps they sleep, so that the editor has the cores.
class Pool {
public:
    explicit Pool(int threads) : count(threads) {
        for (int i = 1; i < threads; i++) workers.emplace_back([this, i] { work(i); });
    }
    ~Pool() {
        { std::lock_guard<std::mutex> lock(mutex); ended = true; step++; }
        wake.notify_all();
        for (auto& worker : workers) worker.join();
    }
    template <class Job>
    void run(const Job& job) {
        if (count > 1) {
            call = [](const void* job, int i) { (*static_cast<const Job*>(job))(i); };
            argument = &job;
            { std::lock_guard<std::mutex> lock(mutex); step++; }
            wake.notify_all();
        }
        job(0);
        barrier();
    }
    void barrier() {
        if (count == 1) return;
        const unsigned mine = round.load(std::memory_order_relaxed);
        if (arrived.fetch_add(1, std::memory_order_acq_rel) == count - 1) {
            arrived.store(0, std::memory_order_relaxed);
            round.store(mine + 1, std::memory_order_release);
            return;
        }
        for (int spins = 0; round.load(std::memory_order_acquire) == mine; spins++) {
            // On a busy machine the thread waited for may need this very core.
            if (spins < 4000) pause(); else std::this_thread::yield();
        }
    }
    const int count;

private:
    void work(int i) {
        for (unsigned seen = 0;;) {
            for (int spins = 0; spins < 2000 && step.load(std::memory_order_acquire) == seen; spins++) pause();
            std::unique_lock<std::mutex> lock(mutex);
            wake.wait(lock, [&] { return step.load() != seen; });
            seen = step.load();
            if (ended) return;
            lock.unlock();
            call(argument, i);
            barrier();
        }
    }
    std::vector<std::thread> workers;
    std::mutex mutex;
    std::condition_variable wake;
    std::atomic<unsigned> step{0}, round{0};
    std::atomic<int> arrived{0};
    bool ended = false;
    void (*call)(const void*, int) = nullptr;
    const void* argument = nullptr;
};

class Decoder {
public:
    Decoder(const Shape& shape, int threads)
        : s(shape), layers(shape.layers, shape.layers + shape.layer_count), pool(threads),
          width(padded(s.head_dim, BLOCK)), group(s.heads / s.key_value_heads), mixed_width(s.heads * s.head_dim),
          projected_width(mixed_width + 2 * s.key_value_heads * s.head_dim) {
        stream.resize(size_t(PIECE) * s.hidden);
        projected.resize(size_t(PIECE) * std::max(projected_width, 2 * s.intermediate));
        queries.resize(size_t(PIECE) * s.heads * width);
        mixed.resize(size_t(PIECE) * mixed_width);
        scratch.resize(threads);
        for (auto& mine : scratch) mine.resize(std::max(s.hidden, s.intermediate));
        hidden.resize(PIECE, s.hidden);
        attended.resize(PIECE, mixed_width);
        gated.resize(PIECE, s.intermediate);
        scores.resize(threads);
    }

    // Logits of the last `wanted` of `tokens` tokens go to `logits` [wanted, vocabulary].
    void read(const int64_t* ids, int tokens, int start, const Cache& cache, int wanted, float* logits) {
        for (auto& mine : scores) mine.resize(size_t(TILE_ROWS) * cache.capacity);
        for (int done = 0; done < tokens; done += PIECE) {
            const int count = std::min(PIECE, tokens - done), from = std::max(0, tokens - wanted - done);
            float* out = logits + int64_t(done + from - (tokens - wanted)) * s.vocabulary;
            pool.run([&](int me) { read_piece(me, ids + done, count, start + done, cache, from, out); });
        }
    }

private:
    void read_piece(int me, const int64_t* ids, int tokens, int start, const Cache& cache, int from, float* logits) {
        each(me, tokens, [&](int t) { read_row(s.embedding, int(ids[t]), &stream[size_t(t) * s.hidden]); });
        for (int index = 0; index < s.layer_count; index++) {
            const Layer& layer = layers[index];
            each(me, tokens, [&](int t) { prepare(me, t, layer.attention_norm, t); });
            product(me, layer.query_key_value, hidden, tokens, {projected.data(), projected_width, 0});
            each(me, tokens, [&](int t) { place(t, start + t, index, cache); });
            attend(me, tokens, start, index, cache);
            each(me, tokens, [&](int t) { attended.quantise(t, &mixed[size_t(t) * mixed_width], mixed_width); });
            product(me, layer.output, attended, tokens, {stream.data(), s.hidden, 1});
            each(me, tokens, [&](int t) { prepare(me, t, layer.feed_forward_norm, t); });
            product(me, layer.gate_up, hidden, tokens, {projected.data(), 2 * s.intermediate, 0});
            each(me, tokens, [&](int t) { combine(me, t); });
            product(me, layer.down, gated, tokens, {stream.data(), s.hidden, 1});
        }
        if (from >= tokens) return;
        each(me, tokens - from, [&](int t) { prepare(me, t + from, s.norm, t); });
        product(me, s.head, hidden, tokens - from, {logits, s.vocabulary, 0});
    }

    template <class Work>
    void each(int me, int items, const Work& work) {
        for (int i = me; i < items; i += pool.count) work(i);
        pool.barrier();
    }

    void product(int me, const Matrix& m, const Activations& a, int tokens, const Target& target) {
        const int blocks = padded(m.rows, BLOCK) / BLOCK;
        const int begin = int(int64_t(blocks) * me / pool.count), end = int(int64_t(blocks) * (me + 1) / pool.count);
        for (int block = begin; block < end; block++) {
            if (m.bits == 8) multiply_tiles<8, MAX_TILE_TOKENS>(m, block, a, 0, tokens, target);
            else multiply_tiles<4, MAX_TILE_TOKENS>(m, block, a, 0, tokens, target);
        }
        pool.barrier();
    }

    void prepare(int me, int token, const float* weight, int slot) {
        float* normal = scratch[me].data();
        normalise(&stream[size_t(token) * s.hidden], weight, s.epsilon, s.hidden, normal);
        hidden.quantise(slot, normal, s.hidden);
    }

    void combine(int me, int token) {
        const float* gates = &projected[size_t(token) * 2 * s.intermediate];
        float* product = scratch[me].data();
        for (int i = 0; i < s.intermediate; i++) product[i] = gate(gates[i]) * gates[s.intermediate + i];
        gated.quantise(token, product, s.intermediate);
    }

    // Turns a token's queries and keys by its position; keys and values go into the cache.
    void place(int token, int position, int layer, const Cache& cache) {
        const int half = s.head_dim / 2;
        const float *cosines = s.cosines + size_t(position) * half, *sines = s.sines + size_t(position) * half;
        const float* from = &projected[size_t(token) * projected_width];
        const float scale = 1.f / std::sqrt(float(s.head_dim));  // of the scores, on the queries once
        for (int head = 0; head < s.heads; head++, from += s.head_dim) {
            float* query = &queries[(size_t(token) * s.heads + head) * width];
            for (int i = 0; i < half; i++) {
                query[i] = (from[i] * cosines[i] - from[i + half] * sines[i]) * scale;
                query[i + half] = (from[i + half] * cosines[i] + from[i] * sines[i]) * scale;
            }
        }
        for (int head = 0; head < s.key_value_heads; head++, from += s.head_dim) {
            uint16_t* keys = cache.keys + offset(layer, head, cache) + size_t(position / BLOCK) * width * BLOCK + position % BLOCK;
            for (int i = 0; i < half; i++) {
                keys[i * BLOCK] = float_to_half(from[i] * cosines[i] - from[i + half] * sines[i]);
                keys[(i + half) * BLOCK] = float_to_half(from[i + half] * cosines[i] + from[i] * sines[i]);
            }
        }
        for (int head = 0; head < s.key_value_heads; head++, from += s.head_dim) {
            uint16_t* values = cache.values + offset(layer, head, cache) + size_t(position) * BLOCK;
            for (int i = 0; i < s.head_dim; i++) values[i / BLOCK * cache.capacity * BLOCK + i % BLOCK] = float_to_half(from[i]);
        }
    }

    size_t offset(int layer, int head, const Cache& cache) const {
        return (size_t(layer) * s.key_value_heads + head) * width * cache.capacity;
    }

    // A query row is a token's query head; the rows of one key/value head are cut into tiles.
    void attend(int me, int tokens, int start, int layer, const Cache& cache) {
        const int rows = tokens * group, tiles = (rows + TILE_ROWS - 1) / TILE_ROWS;
        each(me, tiles * s.key_value_heads, [&](int item) {
            const int head = item % s.key_value_heads, first = item / s.key_value_heads * TILE_ROWS;
            attend_rows<TILE_ROWS>(me, head, first, std::min(TILE_ROWS, rows - first), start, layer, cache);
        });
    }

    template <int ROWS>
    void attend_rows(int me, int head, int first, int rows, int start, int layer, const Cache& cache) {
        if constexpr (ROWS > 1) {
            if (rows < ROWS) return attend_rows<ROWS - 1>(me, head, first, rows, start, layer, cache);
        }
        const float* query[ROWS];
        float *score[ROWS], *out[ROWS];
        int seen[ROWS];  // positions that a row may look at
        for (int r = 0; r < ROWS; r++) {
            const int token = (first + r) / group, query_head = head * group + (first + r) % group;
            query[r] = &queries[(size_t(token) * s.heads + query_head) * width];
            out[r] = &mixed[size_t(token) * mixed_width + query_head * s.head_dim];
            score[r] = &scores[me][size_t(r) * cache.capacity];
            seen[r] = start + token + 1;
        }
        const int most = seen[ROWS - 1];
        const uint16_t* keys = cache.keys + offset(layer, head, cache);
        for (int position = 0; position < most; position += 2 * WIDTH) {
            Floats sum[ROWS][2];
            for (auto& pair : sum) pair[0] = pair[1] = floats(0);
            const uint16_t* key = keys + size_t(position / BLOCK) * width * BLOCK + position % BLOCK;
            for (int i = 0; i < s.head_dim; i++, key += BLOCK) {
                const Floats key0 = load_halves(key), key1 = load_halves(key + WIDTH);
                for (int r = 0; r < ROWS; r++) {
                    sum[r][0] = multiply_add(floats(query[r][i]), key0, sum[r][0]);
                    sum[r][1] = multiply_add(floats(query[r][i]), key1, sum[r][1]);
                }
            }
            for (int r = 0; r < ROWS; r++) {
                store(score[r] + position, sum[r][0]);
                store(score[r] + position + WIDTH, sum[r][1]);
            }
        }
        for (int r = 0; r < ROWS; r++) softmax(score[r], seen[r], most);
        const uint16_t* values = cache.values + offset(layer, head, cache);
        for (int i = 0; i < s.head_dim; i += 2 * WIDTH) {
            Floats sum[ROWS][2];
            for (auto& pair : sum) pair[0] = pair[1] = floats(0);
            const uint16_t* value = values + i / BLOCK * cache.capacity * BLOCK + i % BLOCK;
            for (int position = 0; position < most; position++, value += BLOCK) {
                const Floats value0 = load_halves(value), value1 = load_halves(value + WIDTH);
                for (int r = 0; r < ROWS; r++) {
                    sum[r][0] = multiply_add(floats(score[r][position]), value0, sum[r][0]);
                    sum[r][1] = multiply_add(floats(score[r][position]), value1, sum[r][1]);
                }
            }
            for (int r = 0; r < ROWS; r++) {
                float pair[2 * WIDTH];
                store(pair, sum[r][0]);
                store(pair + WIDTH, sum[r][1]);
                std::memcpy(out[r] + i, pair, std::min(2 * WIDTH, s.head_dim - i) * sizeof(float));
            }
        }
    }

    static void softmax(float* score, int seen, int most) {
        float largest = score[0], total = 0;
        for (int i = 1; i < seen; i++) largest = std::max(largest, score[i]);
        for (int i = 0; i < seen; i++) {
            score[i] = exponential(score[i] - largest);
            total += score[i];
        }
        const float scale = 1.f / total;
        for (int i = 0; i < seen; i++) score[i] *= scale;
        for (int i = seen; i < most; i++) score[i] = 0;
    }

    const Shape s;
    const std::vector<Layer> layers;
    Pool pool;
    const int width, group, mixed_width, projected_width;  // of a stored head; query heads per key/value head; ...
    std::vector<float> stream, projected, queries, mixed;
    std::vector<std::vector<float>> scratch, scores;
    Activations hidden, attended, gated;
};

}  // namespace

extern "C" {
Decoder* midfill_open(const Shape* shape, int32_t threads) { return new Decoder(*shape, threads); }
void midfill_close(Decoder* decoder) { delete decoder; }
void midfill_read(Decoder* decoder, const int64_t* ids, int32_t tokens, int32_t start, const Cache* cache,
                  int32_t wanted, float* logits) {
    decoder->read(ids, tokens, start, *cache, wanted, logits);
}
const char* midfill_level() { return LEVEL; }
}
