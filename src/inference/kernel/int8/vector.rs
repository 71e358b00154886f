//! Vectors of whole numbers, one implementation for each instruction set. What is written with them once runs on all.

#![expect(
    unsafe_code,
    reason = "SIMD: whoever calls keeps what the trait asks for"
)]

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{
    __m256, __m256i, __m512, __m512i, _mm_packus_epi16, _mm_packus_epi32, _mm_storel_epi64,
    _mm_storeu_si128, _mm256_castsi256_si128, _mm256_cvtepi32_ps, _mm256_cvtps_epi32,
    _mm256_dpbusd_avx_epi32, _mm256_extracti128_si256, _mm256_fmadd_ps, _mm256_loadu_ps,
    _mm256_loadu_si256, _mm256_max_ps, _mm256_min_ps, _mm256_or_si256, _mm256_set1_epi32,
    _mm256_set1_ps, _mm256_setzero_ps, _mm256_setzero_si256, _mm256_slli_epi32, _mm256_srli_epi32,
    _mm256_storeu_ps, _mm256_storeu_si256, _mm256_sub_ps, _mm512_cvtepi32_ps, _mm512_cvtps_epi32,
    _mm512_cvtusepi32_epi8, _mm512_dpbusd_epi32, _mm512_fmadd_ps, _mm512_loadu_ps,
    _mm512_loadu_si512, _mm512_max_ps, _mm512_min_ps, _mm512_or_si512, _mm512_set1_epi32,
    _mm512_set1_ps, _mm512_setzero_ps, _mm512_setzero_si512, _mm512_slli_epi32, _mm512_srli_epi32,
    _mm512_storeu_ps, _mm512_storeu_si512, _mm512_sub_ps,
};

/// A vector's instructions.
///
/// # Safety
///
/// Each method may be called where the processor has the instruction set, from a function that was compiled for it;
/// pointers must be good for all lanes that are read or written, of any alignment.
pub(super) trait Bytes {
    /// Sums: i32 in each lane; or four bytes in each.
    type Sums: Copy;
    /// f32 in each lane.
    type Reals: Copy;
    /// Lanes of a vector.
    const LANES: usize;

    unsafe fn zero() -> Self::Sums;
    unsafe fn load(at: *const i32) -> Self::Sums;
    unsafe fn store(at: *mut i32, sums: Self::Sums);
    /// The same four bytes in all lanes.
    unsafe fn spread(at: *const u8) -> Self::Sums;
    /// To each lane of `sums`, the products of its four bytes `a` (u8) with its four bytes `b` (i8).
    unsafe fn dot(sums: Self::Sums, a: Self::Sums, b: Self::Sums) -> Self::Sums;
    unsafe fn load_reals(at: *const f32) -> Self::Reals;
    unsafe fn store_reals(at: *mut f32, reals: Self::Reals);
    /// The same in all lanes.
    unsafe fn spread_real(real: f32) -> Self::Reals;
    /// a * b + c, rounded once.
    unsafe fn fma(a: Self::Reals, b: Self::Reals, c: Self::Reals) -> Self::Reals;
    unsafe fn sub(a: Self::Reals, b: Self::Reals) -> Self::Reals;
    /// sums * factor + offset, rounded once.
    unsafe fn scaled(sums: Self::Sums, factor: Self::Reals, offset: Self::Reals) -> Self::Reals;
    /// To the nearest whole number of 0..=255, halves to the even one.
    unsafe fn rounded(reals: Self::Reals) -> Self::Sums;
    /// Drops each lane's lowest byte, and puts `new` (0..=255) in as the highest.
    unsafe fn push(lanes: Self::Sums, new: Self::Sums) -> Self::Sums;
    /// Writes each lane (0..=255) as a byte.
    unsafe fn store_bytes(at: *mut u8, sums: Self::Sums);
}

/// AVX-512 with VNNI.
#[cfg(target_arch = "x86_64")]
pub(super) struct Avx512;

#[cfg(target_arch = "x86_64")]
impl Bytes for Avx512 {
    type Sums = __m512i;
    type Reals = __m512;
    const LANES: usize = 16;

    #[inline(always)]
    unsafe fn zero() -> __m512i {
        unsafe { _mm512_setzero_si512() }
    }
    #[inline(always)]
    unsafe fn load(at: *const i32) -> __m512i {
        unsafe { _mm512_loadu_si512(at.cast()) }
    }
    #[inline(always)]
    unsafe fn store(at: *mut i32, sums: __m512i) {
        unsafe { _mm512_storeu_si512(at.cast(), sums) }
    }
    #[inline(always)]
    unsafe fn spread(at: *const u8) -> __m512i {
        unsafe { _mm512_set1_epi32(at.cast::<i32>().read_unaligned()) }
    }
    #[inline(always)]
    unsafe fn dot(sums: __m512i, a: __m512i, b: __m512i) -> __m512i {
        unsafe { _mm512_dpbusd_epi32(sums, a, b) }
    }
    #[inline(always)]
    unsafe fn load_reals(at: *const f32) -> __m512 {
        unsafe { _mm512_loadu_ps(at) }
    }
    #[inline(always)]
    unsafe fn store_reals(at: *mut f32, reals: __m512) {
        unsafe { _mm512_storeu_ps(at, reals) }
    }
    #[inline(always)]
    unsafe fn spread_real(real: f32) -> __m512 {
        unsafe { _mm512_set1_ps(real) }
    }
    #[inline(always)]
    unsafe fn fma(a: __m512, b: __m512, c: __m512) -> __m512 {
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }
    #[inline(always)]
    unsafe fn sub(a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_sub_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn scaled(sums: __m512i, factor: __m512, offset: __m512) -> __m512 {
        unsafe { _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums), factor, offset) }
    }
    #[inline(always)]
    unsafe fn rounded(reals: __m512) -> __m512i {
        unsafe {
            let positive = _mm512_max_ps(reals, _mm512_setzero_ps());
            _mm512_cvtps_epi32(_mm512_min_ps(positive, _mm512_set1_ps(255.0)))
        }
    }
    #[inline(always)]
    unsafe fn push(lanes: __m512i, new: __m512i) -> __m512i {
        unsafe { _mm512_or_si512(_mm512_srli_epi32::<8>(lanes), _mm512_slli_epi32::<24>(new)) }
    }
    #[inline(always)]
    unsafe fn store_bytes(at: *mut u8, sums: __m512i) {
        unsafe { _mm_storeu_si128(at.cast(), _mm512_cvtusepi32_epi8(sums)) }
    }
}

/// AVX-VNNI with AVX2.
#[cfg(target_arch = "x86_64")]
pub(super) struct Avx2;

#[cfg(target_arch = "x86_64")]
impl Bytes for Avx2 {
    type Sums = __m256i;
    type Reals = __m256;
    const LANES: usize = 8;

    #[inline(always)]
    unsafe fn zero() -> __m256i {
        unsafe { _mm256_setzero_si256() }
    }
    #[inline(always)]
    unsafe fn load(at: *const i32) -> __m256i {
        unsafe { _mm256_loadu_si256(at.cast()) }
    }
    #[inline(always)]
    unsafe fn store(at: *mut i32, sums: __m256i) {
        unsafe { _mm256_storeu_si256(at.cast(), sums) }
    }
    #[inline(always)]
    unsafe fn spread(at: *const u8) -> __m256i {
        unsafe { _mm256_set1_epi32(at.cast::<i32>().read_unaligned()) }
    }
    #[inline(always)]
    unsafe fn dot(sums: __m256i, a: __m256i, b: __m256i) -> __m256i {
        unsafe { _mm256_dpbusd_avx_epi32(sums, a, b) }
    }
    #[inline(always)]
    unsafe fn load_reals(at: *const f32) -> __m256 {
        unsafe { _mm256_loadu_ps(at) }
    }
    #[inline(always)]
    unsafe fn store_reals(at: *mut f32, reals: __m256) {
        unsafe { _mm256_storeu_ps(at, reals) }
    }
    #[inline(always)]
    unsafe fn spread_real(real: f32) -> __m256 {
        unsafe { _mm256_set1_ps(real) }
    }
    #[inline(always)]
    unsafe fn fma(a: __m256, b: __m256, c: __m256) -> __m256 {
        unsafe { _mm256_fmadd_ps(a, b, c) }
    }
    #[inline(always)]
    unsafe fn sub(a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_sub_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn scaled(sums: __m256i, factor: __m256, offset: __m256) -> __m256 {
        unsafe { _mm256_fmadd_ps(_mm256_cvtepi32_ps(sums), factor, offset) }
    }
    #[inline(always)]
    unsafe fn rounded(reals: __m256) -> __m256i {
        unsafe {
            let positive = _mm256_max_ps(reals, _mm256_setzero_ps());
            _mm256_cvtps_epi32(_mm256_min_ps(positive, _mm256_set1_ps(255.0)))
        }
    }
    #[inline(always)]
    unsafe fn push(lanes: __m256i, new: __m256i) -> __m256i {
        unsafe { _mm256_or_si256(_mm256_srli_epi32::<8>(lanes), _mm256_slli_epi32::<24>(new)) }
    }
    #[inline(always)]
    unsafe fn store_bytes(at: *mut u8, sums: __m256i) {
        unsafe {
            let halves = [
                _mm256_castsi256_si128(sums),
                _mm256_extracti128_si256::<1>(sums),
            ];
            let words = _mm_packus_epi32(halves[0], halves[1]);
            _mm_storel_epi64(at.cast(), _mm_packus_epi16(words, words));
        }
    }
}

/// No instructions of any processor: what others are compared with, and what runs where none of them is.
pub(super) struct Plain;

impl Bytes for Plain {
    type Sums = [i32; 8];
    type Reals = [f32; 8];
    const LANES: usize = 8;

    unsafe fn zero() -> [i32; 8] {
        [0; 8]
    }
    unsafe fn load(at: *const i32) -> [i32; 8] {
        unsafe { at.cast::<[i32; 8]>().read_unaligned() }
    }
    unsafe fn store(at: *mut i32, sums: [i32; 8]) {
        unsafe { at.cast::<[i32; 8]>().write_unaligned(sums) }
    }
    unsafe fn spread(at: *const u8) -> [i32; 8] {
        [unsafe { at.cast::<i32>().read_unaligned() }; 8]
    }
    unsafe fn dot(sums: [i32; 8], a: [i32; 8], b: [i32; 8]) -> [i32; 8] {
        std::array::from_fn(|lane| {
            let pairs = a[lane].to_le_bytes().into_iter().zip(b[lane].to_le_bytes());
            let products = pairs.map(|(a, b)| i32::from(a) * i32::from(b as i8));
            sums[lane] + products.sum::<i32>()
        })
    }
    unsafe fn load_reals(at: *const f32) -> [f32; 8] {
        unsafe { at.cast::<[f32; 8]>().read_unaligned() }
    }
    unsafe fn store_reals(at: *mut f32, reals: [f32; 8]) {
        unsafe { at.cast::<[f32; 8]>().write_unaligned(reals) }
    }
    unsafe fn spread_real(real: f32) -> [f32; 8] {
        [real; 8]
    }
    unsafe fn fma(a: [f32; 8], b: [f32; 8], c: [f32; 8]) -> [f32; 8] {
        std::array::from_fn(|lane| a[lane].mul_add(b[lane], c[lane]))
    }
    unsafe fn sub(a: [f32; 8], b: [f32; 8]) -> [f32; 8] {
        std::array::from_fn(|lane| a[lane] - b[lane])
    }
    unsafe fn scaled(sums: [i32; 8], factor: [f32; 8], offset: [f32; 8]) -> [f32; 8] {
        std::array::from_fn(|lane| (sums[lane] as f32).mul_add(factor[lane], offset[lane]))
    }
    unsafe fn rounded(reals: [f32; 8]) -> [i32; 8] {
        reals.map(|real| real.round_ties_even().clamp(0.0, 255.0) as i32)
    }
    unsafe fn push(lanes: [i32; 8], new: [i32; 8]) -> [i32; 8] {
        std::array::from_fn(|lane| (lanes[lane] as u32 >> 8) as i32 | new[lane] << 24)
    }
    unsafe fn store_bytes(at: *mut u8, sums: [i32; 8]) {
        unsafe {
            at.cast::<[u8; 8]>()
                .write_unaligned(sums.map(|sum| sum as u8));
        }
    }
}
