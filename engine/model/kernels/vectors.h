// The few vector operations that the decoder needs, once per instruction set; the compiler's flags choose which.
//
// Weights are unsigned bytes: an 8-bit weight w is stored as w + 128, a 4-bit weight as w + 8. `dot_bytes` and
// `dot_nibbles` add, in each of WIDTH lanes (one lane is one row of the matrix), the products of 4 stored weights with 4
// signed activations. BYTE_OFFSET is what `dot_bytes` leaves for the caller to take back: 128 where the instruction
// reads the stored bytes as they are, 0 where the function has turned them into signed weights.
#pragma once
#include <cstdint>
#include <cstring>

static inline float from_bits(uint32_t bits) { float value; std::memcpy(&value, &bits, 4); return value; }
static inline uint32_t to_bits(float value) { uint32_t bits; std::memcpy(&bits, &value, 4); return bits; }

static inline float half_to_float(uint16_t half) {  // exact, subnormals included
    const uint32_t sign = uint32_t(half & 0x8000) << 16, rest = uint32_t(half & 0x7fff) << 13;
    return from_bits(sign | to_bits(from_bits(rest) * from_bits(0x77800000)));  // times 2^112: the exponents' biases
}
static inline uint16_t float_to_half(float value) {  // to nearest even; beyond 65504 the largest half
    const uint32_t bits = to_bits(value), sign = bits >> 16 & 0x8000;
    const float size = from_bits(bits & 0x7fffffff);
    if (!(size < 65504.f)) return uint16_t(sign | 0x7bff);
    if (size < 6.103515625e-5f) return uint16_t(sign | (to_bits(size + 0.5f) - to_bits(0.5f)));
    const uint32_t magnitude = to_bits(size);
    return uint16_t(sign | ((magnitude + 0xfff + (magnitude >> 13 & 1) - 0x38000000) >> 13));
}

#if defined(__AVX512VNNI__) && defined(__AVX512BW__) && !defined(MIDFILL_PLAIN)
#include <immintrin.h>
static const char* const LEVEL = "AVX-512 VNNI";
constexpr int WIDTH = 16, MAX_TILE_TOKENS = 6, BYTE_OFFSET = 128;
using Ints = __m512i;
using Bytes = __m512i;
using Floats = __m512;
static inline Bytes load_bytes(const uint8_t* p) { return _mm512_loadu_si512(p); }
static inline Bytes low_nibbles(Bytes v) { return _mm512_and_si512(v, _mm512_set1_epi8(15)); }
static inline Bytes high_nibbles(Bytes v) { return low_nibbles(_mm512_srli_epi16(v, 4)); }
static inline Ints ints(int32_t v) { return _mm512_set1_epi32(v); }
static inline Ints dot_bytes(Ints sum, Bytes w, int32_t x4) { return _mm512_dpbusd_epi32(sum, w, ints(x4)); }
static inline Ints dot_nibbles(Ints sum, Bytes w, int32_t x4) { return _mm512_dpbusd_epi32(sum, w, ints(x4)); }
static inline Floats floats(float v) { return _mm512_set1_ps(v); }
static inline Floats to_floats(Ints v) { return _mm512_cvtepi32_ps(v); }
static inline Floats load_halves(const uint16_t* p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
static inline Floats multiply(Floats a, Floats b) { return _mm512_mul_ps(a, b); }
static inline Floats multiply_add(Floats a, Floats b, Floats sum) { return _mm512_fmadd_ps(a, b, sum); }
static inline void store(float* p, Floats v) { _mm512_storeu_ps(p, v); }

#elif defined(__AVX2__) && defined(__FMA__) && defined(__F16C__) && !defined(MIDFILL_PLAIN)
#include <immintrin.h>
static const char* const LEVEL = "AVX2";
constexpr int WIDTH = 8, MAX_TILE_TOKENS = 2, BYTE_OFFSET = 0;
using Ints = __m256i;
using Bytes = __m256i;
using Floats = __m256;
static inline Bytes load_bytes(const uint8_t* p) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }
static inline Bytes low_nibbles(Bytes v) { return _mm256_and_si256(v, _mm256_set1_epi8(15)); }
static inline Bytes high_nibbles(Bytes v) { return low_nibbles(_mm256_srli_epi16(v, 4)); }
static inline Ints ints(int32_t v) { return _mm256_set1_epi32(v); }
static inline Ints add_pairs(Ints sum, __m256i pairs) {
    return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}
static inline Ints dot_bytes(Ints sum, Bytes w, int32_t x4) {
    // maddubs saturates at 16 bits, which |w| <= 127 and |x| <= 127 cannot reach and w + 128 could.
    const __m256i weights = _mm256_xor_si256(w, _mm256_set1_epi8(-128));
    return add_pairs(sum, _mm256_maddubs_epi16(_mm256_abs_epi8(weights), _mm256_sign_epi8(ints(x4), weights)));
}
static inline Ints dot_nibbles(Ints sum, Bytes w, int32_t x4) {
    return add_pairs(sum, _mm256_maddubs_epi16(w, ints(x4)));
}
static inline Floats floats(float v) { return _mm256_set1_ps(v); }
static inline Floats to_floats(Ints v) { return _mm256_cvtepi32_ps(v); }
static inline Floats load_halves(const uint16_t* p) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
static inline Floats multiply(Floats a, Floats b) { return _mm256_mul_ps(a, b); }
static inline Floats multiply_add(Floats a, Floats b, Floats sum) { return _mm256_fmadd_ps(a, b, sum); }
static inline void store(float* p, Floats v) { _mm256_storeu_ps(p, v); }

#elif defined(__aarch64__) && defined(__ARM_FEATURE_DOTPROD) && !defined(MIDFILL_PLAIN)
#include <arm_neon.h>
static const char* const LEVEL = "NEON";
constexpr int WIDTH = 4, MAX_TILE_TOKENS = 4, BYTE_OFFSET = 0;
using Ints = int32x4_t;
using Bytes = uint8x16_t;
using Floats = float32x4_t;
static inline Bytes load_bytes(const uint8_t* p) { return vld1q_u8(p); }
static inline Bytes low_nibbles(Bytes v) { return vandq_u8(v, vdupq_n_u8(15)); }
static inline Bytes high_nibbles(Bytes v) { return vshrq_n_u8(v, 4); }
static inline Ints ints(int32_t v) { return vdupq_n_s32(v); }
static inline Ints dot_nibbles(Ints sum, Bytes w, int32_t x4) {
    return vdotq_s32(sum, vreinterpretq_s8_u8(w), vreinterpretq_s8_s32(ints(x4)));
}
static inline Ints dot_bytes(Ints sum, Bytes w, int32_t x4) { return dot_nibbles(sum, veorq_u8(w, vdupq_n_u8(128)), x4); }
static inline Floats floats(float v) { return vdupq_n_f32(v); }
static inline Floats to_floats(Ints v) { return vcvtq_f32_s32(v); }
static inline Floats load_halves(const uint16_t* p) { return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p))); }
static inline Floats multiply(Floats a, Floats b) { return vmulq_f32(a, b); }
static inline Floats multiply_add(Floats a, Floats b, Floats sum) { return vfmaq_f32(sum, a, b); }
static inline void store(float* p, Floats v) { vst1q_f32(p, v); }

#else  // plain C++, which the compiler vectorises as well as it can
static const char* const LEVEL = "plain C++";
constexpr int WIDTH = 8, MAX_TILE_TOKENS = 1, BYTE_OFFSET = 0;
struct Ints { int32_t lane[WIDTH]; };
struct Bytes { uint8_t lane[4 * WIDTH]; };
struct Floats { float lane[WIDTH]; };
#define EACH_LANE for (int i = 0; i < WIDTH; i++)
static inline Bytes load_bytes(const uint8_t* p) { Bytes v; std::memcpy(v.lane, p, sizeof v.lane); return v; }
static inline Bytes low_nibbles(Bytes v) { for (auto& byte : v.lane) byte &= 15; return v; }
static inline Bytes high_nibbles(Bytes v) { for (auto& byte : v.lane) byte >>= 4; return v; }
static inline Ints ints(int32_t value) { Ints v; EACH_LANE v.lane[i] = value; return v; }
static inline Ints dot_lanes(Ints sum, const Bytes& w, int32_t x4, int offset) {
    int8_t x[4];
    std::memcpy(x, &x4, 4);
    for (int k = 0; k < 4; k++) EACH_LANE sum.lane[i] += (w.lane[4 * i + k] - offset) * x[k];
    return sum;
}
static inline Ints dot_bytes(Ints sum, const Bytes& w, int32_t x4) { return dot_lanes(sum, w, x4, 128); }
static inline Ints dot_nibbles(Ints sum, const Bytes& w, int32_t x4) { return dot_lanes(sum, w, x4, 0); }
static inline Floats floats(float value) { Floats v; EACH_LANE v.lane[i] = value; return v; }
static inline Floats to_floats(const Ints& a) { Floats v; EACH_LANE v.lane[i] = float(a.lane[i]); return v; }
static inline Floats load_halves(const uint16_t* p) { Floats v; EACH_LANE v.lane[i] = half_to_float(p[i]); return v; }
static inline Floats multiply(Floats a, const Floats& b) { EACH_LANE a.lane[i] *= b.lane[i]; return a; }
static inline Floats multiply_add(const Floats& a, const Floats& b, Floats sum) {
    EACH_LANE sum.lane[i] += a.lane[i] * b.lane[i];
    return sum;
}
static inline void store(float* p, const Floats& v) { std::memcpy(p, v.lane, sizeof v.lane); }
#undef EACH_LANE
#endif
