//! Vectors of f32, one implementation for each instruction set. What is written with them once runs on all.
#![expect(
    unsafe_code,
    reason = "SIMD: whoever calls keeps what the trait asks for"
)]

use std::arch::x86_64::{
    __m256, __m256i, __m512, __mmask16, _mm256_add_ps, _mm256_and_si256, _mm256_cmpeq_epi32,
    _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_loadu_si256, _mm256_maskload_ps, _mm256_maskstore_ps,
    _mm256_max_ps, _mm256_permutevar8x32_ps, _mm256_set1_epi32, _mm256_set1_ps, _mm256_setr_epi32,
    _mm256_setzero_ps, _mm256_storeu_ps, _mm256_sub_ps, _mm512_add_ps, _mm512_fmadd_ps,
    _mm512_loadu_ps, _mm512_loadu_si512, _mm512_mask_storeu_ps, _mm512_maskz_loadu_ps,
    _mm512_max_ps, _mm512_permutexvar_ps, _mm512_set1_ps, _mm512_setzero_ps, _mm512_storeu_ps,
    _mm512_sub_ps,
};

/// A vector's instructions.
///
/// # Safety
///
/// Each method may be called where the processor has the instruction set, from a function that was compiled for it;
/// pointers must be good for all lanes that are read or written, of any alignment.
pub(super) trait Lanes {
    /// A vector.
    type V: Copy;
    /// Chooses lanes.
    type M: Copy;
    /// Values in a vector.
    const LANES: usize;

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
    /// Lane i is lane `from[i]` of `v`.
    unsafe fn permute(v: Self::V, from: *const i32) -> Self::V;
}

/// AVX-512F.
pub(super) struct Avx512;

impl Lanes for Avx512 {
    type V = __m512;
    type M = __mmask16;
    const LANES: usize = 16;

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
    unsafe fn permute(v: __m512, from: *const i32) -> __m512 {
        unsafe { _mm512_permutexvar_ps(_mm512_loadu_si512(from.cast()), v) }
    }
}

/// AVX2 with FMA.
pub(super) struct Avx2;

impl Lanes for Avx2 {
    type V = __m256;
    type M = __m256i;
    const LANES: usize = 8;

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
    #[inline(always)]
    unsafe fn permute(v: __m256, from: *const i32) -> __m256 {
        unsafe { _mm256_permutevar8x32_ps(v, _mm256_loadu_si256(from.cast())) }
    }
}
