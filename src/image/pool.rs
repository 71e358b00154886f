//! Buffers that return to their pool when the last stage drops them.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A pool of buffers. Their number is bounded by the queues through which they pass.
#[derive(Debug, Default)]
pub struct Pool<T> {
    spare: Arc<Mutex<Vec<T>>>,
}

impl<T: Default> Pool<T> {
    /// A buffer for the caller alone: with the content of its last use, or a new `T::default()`.
    pub fn take(&self) -> Pooled<T> {
        Pooled {
            value: lock(&self.spare).pop().unwrap_or_default(),
            pool: Arc::clone(&self.spare),
        }
    }
}

/// A buffer from a [`Pool`].
#[derive(Debug)]
pub struct Pooled<T: Default> {
    value: T,
    pool: Arc<Mutex<Vec<T>>>,
}

impl<T: Default> Deref for Pooled<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: Default> DerefMut for Pooled<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

impl<T: Default> Drop for Pooled<T> {
    fn drop(&mut self) {
        lock(&self.pool).push(std::mem::take(&mut self.value));
    }
}

/// An empty vector with the memory of `items`, for items with other lifetimes: the standard library collects in place.
pub(crate) fn reuse_memory<T, U>(items: Vec<T>) -> Vec<U> {
    items.into_iter().filter_map(|_| None).collect()
}

/// A stage that panicked while it held the lock cannot have left the `Vec` half-changed: it only pushes and pops.
fn lock<T>(mutex: &Mutex<Vec<T>>) -> MutexGuard<'_, Vec<T>> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_has_one_owner() {
        let pool = Pool::<Vec<u8>>::default();
        let mut first = pool.take();
        first.resize(4, 7);
        let mut second = pool.take();
        second.resize(4, 9);
        assert_ne!(first.as_ptr(), second.as_ptr());
        let address = first.as_ptr();
        drop(first);
        let third = pool.take();
        assert_eq!((third.as_ptr(), third[0]), (address, 7));
    }

    #[test]
    fn an_emptied_vector_keeps_its_memory() {
        let numbers = vec![1_u64, 2, 3];
        let (address, capacity) = (numbers.as_ptr().addr(), numbers.capacity());
        let other: Vec<i64> = reuse_memory(numbers);
        assert!(other.is_empty());
        assert_eq!(
            (other.as_ptr().addr(), other.capacity()),
            (address, capacity)
        );
    }
}
