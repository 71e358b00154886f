//! Vectors of f32: one type for each instruction set, behind a trait with which the kernels are written once.
#![expect(
    unsafe_code,
    reason = "SIMD: callers keep the contract that the trait states"
)]
#![expect(
    clippy::inline_always,
    reason = "a function that is not inlined is not compiled for the instruction set"
)]

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{
    __m256, __m256i, __m512, __m512i, __mmask16, _MM_HINT_T1, _mm_prefetch, _mm256_add_ps,
    _mm256_and_si256, _mm256_cmpeq_epi32, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_loadu_si256,
    _mm256_maskload_ps, _mm256_maskstore_ps, _mm256_max_ps, _mm256_permutevar8x32_ps,
    _mm256_set1_epi32, _mm256_set1_ps, _mm256_setr_epi32, _mm256_setzero_ps, _mm256_storeu_ps,
    _mm256_sub_ps, _mm512_add_ps, _mm512_alignr_epi32, _mm512_castps_si512, _mm512_castsi512_ps,
    _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_loadu_si512, _mm512_mask_storeu_ps,
    _mm512_maskz_loadu_ps, _mm512_max_ps, _mm512_permutexvar_ps, _mm512_set1_ps, _mm512_setzero_ps,
    _mm512_storeu_ps, _mm512_sub_ps,
};

use super::intrinsics::methods;

/// A vector of f32 values.
///
/// # Safety
///
/// Methods must be called only where the processor has the instruction set, from a function that was compiled for it.
/// Pointers must be valid for all lanes that are read or written, and may have any alignment of their values.
pub(super) trait Vector {
    type Values: Copy;
    /// Selects lanes.
    type Mask: Copy;
    /// A lane's number in each lane.
    type Indices: Copy;
    /// Whether these are vector instructions.
    const IS_FAST: bool = true;
    /// Values in a vector.
    const LANES: usize;
    /// Output channels and vectors of pixels in a tile. Their sums just fit into the registers; with one more of either,
    /// the compiler keeps some in memory, at half the speed.
    const TILE_CHANNELS: usize;
    const TILE_VECTORS: usize;

    unsafe fn splat(value: f32) -> Self::Values;
    unsafe fn load(at: *const f32) -> Self::Values;
    unsafe fn store(at: *mut f32, v: Self::Values);
    /// Selects the lanes whose bits are set; the lowest bit is the first lane's.
    unsafe fn mask(bits: u16) -> Self::Mask;
    /// Other lanes are zero, and are not read.
    unsafe fn load_masked(at: *const f32, lanes: Self::Mask) -> Self::Values;
    /// Other lanes are not written.
    unsafe fn store_masked(at: *mut f32, lanes: Self::Mask, v: Self::Values);
    unsafe fn add(a: Self::Values, b: Self::Values) -> Self::Values;
    unsafe fn sub(a: Self::Values, b: Self::Values) -> Self::Values;
    /// a * b + c, rounded once.
    unsafe fn fma(a: Self::Values, b: Self::Values, c: Self::Values) -> Self::Values;
    unsafe fn relu(v: Self::Values) -> Self::Values;
    /// The vector one value to the left of `at`. `v` is the vector at `at`, `before` the one before it.
    unsafe fn left_of(at: *const f32, before: Self::Values, v: Self::Values) -> Self::Values;
    /// The vector one value to the right of `at`. `v` is the vector at `at`, `after` the one after it.
    unsafe fn right_of(at: *const f32, v: Self::Values, after: Self::Values) -> Self::Values;
    unsafe fn load_indices(at: *const i32) -> Self::Indices;
    /// Lane i is lane `from[i]` of `v`.
    unsafe fn permute(v: Self::Values, from: Self::Indices) -> Self::Values;
    /// Requests the cache line at `at`, which may be any address.
    unsafe fn prefetch(at: *const f32);
}

/// AVX-512F.
#[cfg(target_arch = "x86_64")]
pub(super) struct Avx512;

#[cfg(target_arch = "x86_64")]
impl Vector for Avx512 {
    type Values = __m512;
    type Mask = __mmask16;
    type Indices = __m512i;
    const LANES: usize = 16;
    const TILE_CHANNELS: usize = 8;
    const TILE_VECTORS: usize = 3;

    #[inline(always)]
    unsafe fn mask(bits: u16) -> __mmask16 {
        bits
    }

    methods! {
        fn splat(value: f32) -> __m512 { _mm512_set1_ps(value) }
        fn load(at: *const f32) -> __m512 { _mm512_loadu_ps(at) }
        fn store(at: *mut f32, v: __m512) { _mm512_storeu_ps(at, v) }
        fn load_masked(at: *const f32, lanes: __mmask16) -> __m512 { _mm512_maskz_loadu_ps(lanes, at) }
        fn store_masked(at: *mut f32, lanes: __mmask16, v: __m512) { _mm512_mask_storeu_ps(at, lanes, v) }
        fn add(a: __m512, b: __m512) -> __m512 { _mm512_add_ps(a, b) }
        fn sub(a: __m512, b: __m512) -> __m512 { _mm512_sub_ps(a, b) }
        fn fma(a: __m512, b: __m512, c: __m512) -> __m512 { _mm512_fmadd_ps(a, b, c) }
        fn relu(v: __m512) -> __m512 { _mm512_max_ps(_mm512_setzero_ps(), v) }
        fn left_of(_: *const f32, before: __m512, v: __m512) -> __m512 {
            let (v, before) = (_mm512_castps_si512(v), _mm512_castps_si512(before));
            _mm512_castsi512_ps(_mm512_alignr_epi32::<15>(v, before))
        }
        fn right_of(_: *const f32, v: __m512, after: __m512) -> __m512 {
            let (v, after) = (_mm512_castps_si512(v), _mm512_castps_si512(after));
            _mm512_castsi512_ps(_mm512_alignr_epi32::<1>(after, v))
        }
        fn load_indices(at: *const i32) -> __m512i { _mm512_loadu_si512(at.cast()) }
        fn permute(v: __m512, from: __m512i) -> __m512 { _mm512_permutexvar_ps(from, v) }
        fn prefetch(at: *const f32) { _mm_prefetch::<_MM_HINT_T1>(at.cast()) }
    }
}

/// AVX2 with FMA.
#[cfg(target_arch = "x86_64")]
pub(super) struct Avx2;

#[cfg(target_arch = "x86_64")]
impl Vector for Avx2 {
    type Values = __m256;
    type Mask = __m256i;
    type Indices = __m256i;
    const LANES: usize = 8;
    const TILE_CHANNELS: usize = 6;
    const TILE_VECTORS: usize = 2;

    methods! {
        fn splat(value: f32) -> __m256 { _mm256_set1_ps(value) }
        fn load(at: *const f32) -> __m256 { _mm256_loadu_ps(at) }
        fn store(at: *mut f32, v: __m256) { _mm256_storeu_ps(at, v) }
        fn mask(bits: u16) -> __m256i {
            let each = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
            _mm256_cmpeq_epi32(_mm256_and_si256(_mm256_set1_epi32(bits.into()), each), each)
        }
        fn load_masked(at: *const f32, lanes: __m256i) -> __m256 { _mm256_maskload_ps(at, lanes) }
        fn store_masked(at: *mut f32, lanes: __m256i, v: __m256) { _mm256_maskstore_ps(at, lanes, v) }
        fn add(a: __m256, b: __m256) -> __m256 { _mm256_add_ps(a, b) }
        fn sub(a: __m256, b: __m256) -> __m256 { _mm256_sub_ps(a, b) }
        fn fma(a: __m256, b: __m256, c: __m256) -> __m256 { _mm256_fmadd_ps(a, b, c) }
        fn relu(v: __m256) -> __m256 { _mm256_max_ps(_mm256_setzero_ps(), v) }
        // Loads of half a cache line seldom cross two lines, and shuffles across halves are slow.
        fn left_of(at: *const f32, _: __m256, _: __m256) -> __m256 { Self::load(at.sub(1)) }
        fn right_of(at: *const f32, _: __m256, _: __m256) -> __m256 { Self::load(at.add(1)) }
        fn load_indices(at: *const i32) -> __m256i { _mm256_loadu_si256(at.cast()) }
        fn permute(v: __m256, from: __m256i) -> __m256 { _mm256_permutevar8x32_ps(v, from) }
        fn prefetch(at: *const f32) { _mm_prefetch::<_MM_HINT_T1>(at.cast()) }
    }
}

/// Portable code, for all other processors. It is correct rather than fast.
pub(super) struct Portable;

/// A vector of [`Portable`].
const PORTABLE_LANES: usize = 8;
type Values = [f32; PORTABLE_LANES];

impl Vector for Portable {
    type Values = Values;
    type Mask = u16;
    type Indices = [i32; PORTABLE_LANES];
    const IS_FAST: bool = false;
    const LANES: usize = PORTABLE_LANES;
    const TILE_CHANNELS: usize = 4;
    const TILE_VECTORS: usize = 2;

    methods! {
        fn load(at: *const f32) -> Values { at.cast::<Values>().read_unaligned() }
        fn store(at: *mut f32, v: Values) { at.cast::<Values>().write_unaligned(v) }
        fn load_masked(at: *const f32, lanes: u16) -> Values {
            std::array::from_fn(|lane| if lanes >> lane & 1 == 1 { *at.add(lane) } else { 0.0 })
        }
        fn store_masked(at: *mut f32, lanes: u16, v: Values) {
            for (lane, value) in v.into_iter().enumerate() {
                if lanes >> lane & 1 == 1 {
                    *at.add(lane) = value;
                }
            }
        }
        fn left_of(at: *const f32, _: Values, _: Values) -> Values { Self::load(at.sub(1)) }
        fn right_of(at: *const f32, _: Values, _: Values) -> Values { Self::load(at.add(1)) }
        fn load_indices(at: *const i32) -> Self::Indices { at.cast::<Self::Indices>().read_unaligned() }
    }

    unsafe fn splat(value: f32) -> Values {
        [value; PORTABLE_LANES]
    }

    unsafe fn mask(bits: u16) -> u16 {
        bits
    }

    unsafe fn add(a: Values, b: Values) -> Values {
        std::array::from_fn(|lane| a[lane] + b[lane])
    }

    unsafe fn sub(a: Values, b: Values) -> Values {
        std::array::from_fn(|lane| a[lane] - b[lane])
    }

    unsafe fn fma(a: Values, b: Values, c: Values) -> Values {
        std::array::from_fn(|lane| a[lane].mul_add(b[lane], c[lane]))
    }

    unsafe fn relu(v: Values) -> Values {
        v.map(|value| if value < 0.0 { 0.0 } else { value })
    }

    unsafe fn permute(v: Values, from: Self::Indices) -> Values {
        from.map(|lane| v[lane as usize])
    }

    unsafe fn prefetch(_: *const f32) {}
}
