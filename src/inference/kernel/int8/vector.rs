//! Vectors of integers and floats: one type for each instruction set, behind a trait with which the pass is written once.
#![expect(
    unsafe_code,
    reason = "SIMD: callers keep the contract that the trait states"
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

use crate::inference::kernel::intrinsics::methods;

/// A vector of integers, and one of floats with as many lanes.
///
/// # Safety
///
/// Methods must be called only where the processor has the instruction set, from a function that was compiled for it.
/// Pointers must be valid for all lanes that are read or written, and may have any alignment.
pub(super) trait Vector {
    /// In each lane an i32, or four bytes, the first of them the lowest.
    type Ints: Copy;
    /// In each lane an f32.
    type Floats: Copy;
    /// Whether there is an instruction for [`Vector::dot`].
    const IS_FAST: bool = true;
    /// Lanes of a vector.
    const LANES: usize;

    unsafe fn zero() -> Self::Ints;
    unsafe fn load(at: *const i32) -> Self::Ints;
    unsafe fn store(at: *mut i32, ints: Self::Ints);
    /// The four bytes at `at` in all lanes.
    unsafe fn splat_bytes(at: *const u8) -> Self::Ints;
    /// Adds to each lane of `sums` the products of its four bytes `a` (u8) with its four bytes `b` (i8).
    unsafe fn dot(sums: Self::Ints, a: Self::Ints, b: Self::Ints) -> Self::Ints;
    unsafe fn load_floats(at: *const f32) -> Self::Floats;
    unsafe fn store_floats(at: *mut f32, floats: Self::Floats);
    unsafe fn splat(value: f32) -> Self::Floats;
    /// a * b + c, rounded once.
    unsafe fn fma(a: Self::Floats, b: Self::Floats, c: Self::Floats) -> Self::Floats;
    unsafe fn sub(a: Self::Floats, b: Self::Floats) -> Self::Floats;
    /// sums * factor + offset, rounded once.
    unsafe fn scale(sums: Self::Ints, factor: Self::Floats, offset: Self::Floats) -> Self::Floats;
    /// The nearest integers in 0..=255, ties to even.
    unsafe fn round(floats: Self::Floats) -> Self::Ints;
    /// Drops each lane's lowest byte, and pushes `new` (0..=255) in as the highest.
    unsafe fn push(lanes: Self::Ints, new: Self::Ints) -> Self::Ints;
    /// Writes each lane (0..=255) as a byte.
    unsafe fn store_bytes(at: *mut u8, ints: Self::Ints);
}

/// AVX-512 with VNNI.
#[cfg(target_arch = "x86_64")]
pub(super) struct Avx512;

#[cfg(target_arch = "x86_64")]
impl Vector for Avx512 {
    type Ints = __m512i;
    type Floats = __m512;
    const LANES: usize = 16;

    methods! {
        fn zero() -> __m512i { _mm512_setzero_si512() }
        fn load(at: *const i32) -> __m512i { _mm512_loadu_si512(at.cast()) }
        fn store(at: *mut i32, ints: __m512i) { _mm512_storeu_si512(at.cast(), ints) }
        fn splat_bytes(at: *const u8) -> __m512i { _mm512_set1_epi32(at.cast::<i32>().read_unaligned()) }
        fn dot(sums: __m512i, a: __m512i, b: __m512i) -> __m512i { _mm512_dpbusd_epi32(sums, a, b) }
        fn load_floats(at: *const f32) -> __m512 { _mm512_loadu_ps(at) }
        fn store_floats(at: *mut f32, floats: __m512) { _mm512_storeu_ps(at, floats) }
        fn splat(value: f32) -> __m512 { _mm512_set1_ps(value) }
        fn fma(a: __m512, b: __m512, c: __m512) -> __m512 { _mm512_fmadd_ps(a, b, c) }
        fn sub(a: __m512, b: __m512) -> __m512 { _mm512_sub_ps(a, b) }
        fn scale(sums: __m512i, factor: __m512, offset: __m512) -> __m512 {
            _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums), factor, offset)
        }
        fn round(floats: __m512) -> __m512i {
            let positive = _mm512_max_ps(floats, _mm512_setzero_ps());
            _mm512_cvtps_epi32(_mm512_min_ps(positive, _mm512_set1_ps(255.0)))
        }
        fn push(lanes: __m512i, new: __m512i) -> __m512i {
            _mm512_or_si512(_mm512_srli_epi32::<8>(lanes), _mm512_slli_epi32::<24>(new))
        }
        fn store_bytes(at: *mut u8, ints: __m512i) { _mm_storeu_si128(at.cast(), _mm512_cvtusepi32_epi8(ints)) }
    }
}

/// AVX2 with AVX-VNNI.
#[cfg(target_arch = "x86_64")]
pub(super) struct Avx2;

#[cfg(target_arch = "x86_64")]
impl Vector for Avx2 {
    type Ints = __m256i;
    type Floats = __m256;
    const LANES: usize = 8;

    methods! {
        fn zero() -> __m256i { _mm256_setzero_si256() }
        fn load(at: *const i32) -> __m256i { _mm256_loadu_si256(at.cast()) }
        fn store(at: *mut i32, ints: __m256i) { _mm256_storeu_si256(at.cast(), ints) }
        fn splat_bytes(at: *const u8) -> __m256i { _mm256_set1_epi32(at.cast::<i32>().read_unaligned()) }
        fn dot(sums: __m256i, a: __m256i, b: __m256i) -> __m256i { _mm256_dpbusd_avx_epi32(sums, a, b) }
        fn load_floats(at: *const f32) -> __m256 { _mm256_loadu_ps(at) }
        fn store_floats(at: *mut f32, floats: __m256) { _mm256_storeu_ps(at, floats) }
        fn splat(value: f32) -> __m256 { _mm256_set1_ps(value) }
        fn fma(a: __m256, b: __m256, c: __m256) -> __m256 { _mm256_fmadd_ps(a, b, c) }
        fn sub(a: __m256, b: __m256) -> __m256 { _mm256_sub_ps(a, b) }
        fn scale(sums: __m256i, factor: __m256, offset: __m256) -> __m256 {
            _mm256_fmadd_ps(_mm256_cvtepi32_ps(sums), factor, offset)
        }
        fn round(floats: __m256) -> __m256i {
            let positive = _mm256_max_ps(floats, _mm256_setzero_ps());
            _mm256_cvtps_epi32(_mm256_min_ps(positive, _mm256_set1_ps(255.0)))
        }
        fn push(lanes: __m256i, new: __m256i) -> __m256i {
            _mm256_or_si256(_mm256_srli_epi32::<8>(lanes), _mm256_slli_epi32::<24>(new))
        }
        fn store_bytes(at: *mut u8, ints: __m256i) {
            let (low, high) = (_mm256_castsi256_si128(ints), _mm256_extracti128_si256::<1>(ints));
            let words = _mm_packus_epi32(low, high);
            _mm_storel_epi64(at.cast(), _mm_packus_epi16(words, words));
        }
    }
}

/// Portable code: what the others are compared with, and what runs on all other processors.
pub(super) struct Portable;

/// A vector of [`Portable`].
const PORTABLE_LANES: usize = 8;
type Ints = [i32; PORTABLE_LANES];
type Floats = [f32; PORTABLE_LANES];

impl Vector for Portable {
    type Ints = Ints;
    type Floats = Floats;
    const IS_FAST: bool = false;
    const LANES: usize = PORTABLE_LANES;

    methods! {
        fn load(at: *const i32) -> Ints { at.cast::<Ints>().read_unaligned() }
        fn store(at: *mut i32, ints: Ints) { at.cast::<Ints>().write_unaligned(ints) }
        fn splat_bytes(at: *const u8) -> Ints {
            [i32::from_le(at.cast::<i32>().read_unaligned()); PORTABLE_LANES]
        }
        fn load_floats(at: *const f32) -> Floats { at.cast::<Floats>().read_unaligned() }
        fn store_floats(at: *mut f32, floats: Floats) { at.cast::<Floats>().write_unaligned(floats) }
        fn store_bytes(at: *mut u8, ints: Ints) {
            at.cast::<[u8; PORTABLE_LANES]>().write_unaligned(ints.map(|int| int as u8));
        }
    }

    unsafe fn zero() -> Ints {
        [0; PORTABLE_LANES]
    }

    unsafe fn dot(sums: Ints, a: Ints, b: Ints) -> Ints {
        std::array::from_fn(|lane| {
            let pairs = a[lane].to_le_bytes().into_iter().zip(b[lane].to_le_bytes());
            let products = pairs.map(|(a, b)| i32::from(a) * i32::from(b as i8));
            sums[lane] + products.sum::<i32>()
        })
    }

    unsafe fn splat(value: f32) -> Floats {
        [value; PORTABLE_LANES]
    }

    unsafe fn fma(a: Floats, b: Floats, c: Floats) -> Floats {
        std::array::from_fn(|lane| a[lane].mul_add(b[lane], c[lane]))
    }

    unsafe fn sub(a: Floats, b: Floats) -> Floats {
        std::array::from_fn(|lane| a[lane] - b[lane])
    }

    unsafe fn scale(sums: Ints, factor: Floats, offset: Floats) -> Floats {
        std::array::from_fn(|lane| (sums[lane] as f32).mul_add(factor[lane], offset[lane]))
    }

    unsafe fn round(floats: Floats) -> Ints {
        floats.map(|value| value.round_ties_even().clamp(0.0, 255.0) as i32)
    }

    unsafe fn push(lanes: Ints, new: Ints) -> Ints {
        std::array::from_fn(|lane| (lanes[lane] as u32 >> 8) as i32 | new[lane] << 24)
    }
}
