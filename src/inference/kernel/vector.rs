//! Vectors of f32, one implementation for each instruction set. What is written with them once runs on all.
#![expect(
    unsafe_code,
    reason = "SIMD: whoever calls keeps what the trait asks for"
)]
#![expect(
    clippy::inline_always,
    reason = "what is not inlined is not compiled for the instruction set"
)]

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

/// A vector's instructions.
///
/// # Safety
///
/// Each method may be called where the processor has the instruction set, from a function that was compiled for it;
/// pointers must be good for all lanes that are read or written, of any alignment.
pub(super) trait Workers {
    /// A vector.
    type V: Copy;
    /// Chooses lanes.
    type M: Copy;
    /// Numbers of lanes.
    type I: Copy;
    /// Values in a vector.
    const LANES: usize;
    /// Output channels, and vectors of pixels, whose sums fit into the registers beside what they are made of: one more
    /// of either and some are kept in memory, at half the speed.
    const ROWS: usize;
    const VECTORS: usize;

    unsafe fn splat(value: f32) -> Self::V;
    unsafe fn load(at: *const f32) -> Self::V;
    unsafe fn store(at: *mut f32, v: Self::V);
    /// The lanes of set bits, the first lane's the lowest.
    unsafe fn mask(bits: u16) -> Self::M;
    /// Zero in other lanes, which are not read.
    unsafe fn load_some(at: *const f32, lanes: Self::M) -> Self::V;
    unsafe fn store_some(at: *mut f32, lanes: Self::M, v: Self::V);
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn sub(a: Self::V, b: Self::V) -> Self::V;
    /// a * b + c, rounded once.
    unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// Zero in place of what is below.
    unsafe fn rectify(v: Self::V) -> Self::V;
    /// The values before those at `at`, which are `v`; `before` are those of the vector before.
    unsafe fn left_of(at: *const f32, before: Self::V, v: Self::V) -> Self::V;
    /// The values after those at `at`, which are `v`; `after` are those of the vector after.
    unsafe fn right_of(at: *const f32, v: Self::V, after: Self::V) -> Self::V;
    unsafe fn load_lanes(at: *const i32) -> Self::I;
    /// Lane i is lane `from[i]` of `v`.
    unsafe fn permute(v: Self::V, from: Self::I) -> Self::V;
    /// Lets the cache line at `at`, which need not be there, come nearer.
    unsafe fn prefetch(at: *const f32);
}

/// AVX-512F.
pub(super) struct Avx512;

impl Workers for Avx512 {
    type V = __m512;
    type M = __mmask16;
    type I = __m512i;
    const LANES: usize = 16;
    const ROWS: usize = 8;
    const VECTORS: usize = 3;

    #[inline(always)]
    unsafe fn splat(value: f32) -> __m512 {
        unsafe { _mm512_set1_ps(value) }
    }
    #[inline(always)]
    unsafe fn load(at: *const f32) -> __m512 {
        unsafe { _mm512_loadu_ps(at) }
    }
    #[inline(always)]
    unsafe fn store(at: *mut f32, v: __m512) {
        unsafe { _mm512_storeu_ps(at, v) }
    }
    #[inline(always)]
    unsafe fn mask(bits: u16) -> __mmask16 {
        bits
    }
    #[inline(always)]
    unsafe fn load_some(at: *const f32, lanes: __mmask16) -> __m512 {
        unsafe { _mm512_maskz_loadu_ps(lanes, at) }
    }
    #[inline(always)]
    unsafe fn store_some(at: *mut f32, lanes: __mmask16, v: __m512) {
        unsafe { _mm512_mask_storeu_ps(at, lanes, v) }
    }
    #[inline(always)]
    unsafe fn add(a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_add_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn sub(a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_sub_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn fma(a: __m512, b: __m512, c: __m512) -> __m512 {
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }
    #[inline(always)]
    unsafe fn rectify(v: __m512) -> __m512 {
        unsafe { _mm512_max_ps(v, _mm512_setzero_ps()) }
    }
    #[inline(always)]
    unsafe fn left_of(_: *const f32, before: __m512, v: __m512) -> __m512 {
        let (v, before) = unsafe { (_mm512_castps_si512(v), _mm512_castps_si512(before)) };
        unsafe { _mm512_castsi512_ps(_mm512_alignr_epi32::<15>(v, before)) }
    }
    #[inline(always)]
    unsafe fn right_of(_: *const f32, v: __m512, after: __m512) -> __m512 {
        let (v, after) = unsafe { (_mm512_castps_si512(v), _mm512_castps_si512(after)) };
        unsafe { _mm512_castsi512_ps(_mm512_alignr_epi32::<1>(after, v)) }
    }
    #[inline(always)]
    unsafe fn load_lanes(at: *const i32) -> __m512i {
        unsafe { _mm512_loadu_si512(at.cast()) }
    }
    #[inline(always)]
    unsafe fn permute(v: __m512, from: __m512i) -> __m512 {
        unsafe { _mm512_permutexvar_ps(from, v) }
    }
    #[inline(always)]
    unsafe fn prefetch(at: *const f32) {
        unsafe { _mm_prefetch::<_MM_HINT_T1>(at.cast()) }
    }
}

/// AVX2 with FMA.
pub(super) struct Avx2;

impl Workers for Avx2 {
    type V = __m256;
    type M = __m256i;
    type I = __m256i;
    const LANES: usize = 8;
    const ROWS: usize = 6;
    const VECTORS: usize = 2;

    #[inline(always)]
    unsafe fn splat(value: f32) -> __m256 {
        unsafe { _mm256_set1_ps(value) }
    }
    #[inline(always)]
    unsafe fn load(at: *const f32) -> __m256 {
        unsafe { _mm256_loadu_ps(at) }
    }
    #[inline(always)]
    unsafe fn store(at: *mut f32, v: __m256) {
        unsafe { _mm256_storeu_ps(at, v) }
    }
    #[inline(always)]
    unsafe fn mask(bits: u16) -> __m256i {
        unsafe {
            let each = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
            _mm256_cmpeq_epi32(_mm256_and_si256(_mm256_set1_epi32(bits.into()), each), each)
        }
    }
    #[inline(always)]
    unsafe fn load_some(at: *const f32, lanes: __m256i) -> __m256 {
        unsafe { _mm256_maskload_ps(at, lanes) }
    }
    #[inline(always)]
    unsafe fn store_some(at: *mut f32, lanes: __m256i, v: __m256) {
        unsafe { _mm256_maskstore_ps(at, lanes, v) }
    }
    #[inline(always)]
    unsafe fn add(a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_add_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn sub(a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_sub_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn fma(a: __m256, b: __m256, c: __m256) -> __m256 {
        unsafe { _mm256_fmadd_ps(a, b, c) }
    }
    #[inline(always)]
    unsafe fn rectify(v: __m256) -> __m256 {
        unsafe { _mm256_max_ps(v, _mm256_setzero_ps()) }
    }
    // Loads of half a cache line seldom cross one, and shuffles across halves are slow.
    #[inline(always)]
    unsafe fn left_of(at: *const f32, _: __m256, _: __m256) -> __m256 {
        unsafe { Self::load(at.sub(1)) }
    }
    #[inline(always)]
    unsafe fn right_of(at: *const f32, _: __m256, _: __m256) -> __m256 {
        unsafe { Self::load(at.add(1)) }
    }
    #[inline(always)]
    unsafe fn load_lanes(at: *const i32) -> __m256i {
        unsafe { _mm256_loadu_si256(at.cast()) }
    }
    #[inline(always)]
    unsafe fn permute(v: __m256, from: __m256i) -> __m256 {
        unsafe { _mm256_permutevar8x32_ps(v, from) }
    }
    #[inline(always)]
    unsafe fn prefetch(at: *const f32) {
        unsafe { _mm_prefetch::<_MM_HINT_T1>(at.cast()) }
    }
}
