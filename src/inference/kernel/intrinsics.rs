//! Methods that consist of a few intrinsics.

/// Defines methods of a vector trait for one instruction set. All of them have the trait's contract, so that what makes
/// their intrinsics safe to call is the same, and is stated once.
macro_rules! methods {
    ($(fn $name:ident($($argument:tt: $type:ty),*) $(-> $result:ty)? $body:block)*) => {
        $(
            #[inline(always)]
            unsafe fn $name($($argument: $type),*) $(-> $result)? {
                // SAFETY: the caller keeps the trait's contract: the processor has the instruction set, and pointers are
                // valid for the lanes that are read or written.
                unsafe { $body }
            }
        )*
    };
}

pub(super) use methods;
