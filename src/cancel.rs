//! A flag that tells all stages to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::Fault;

/// Shared by the signal handler and the stages; clones share one flag.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Sets the flag. Returns whether it was set already.
    pub fn cancel(&self) -> bool {
        self.0.swap(true, Ordering::SeqCst)
    }

    /// The flag itself, for a signal handler.
    pub(crate) fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0)
    }

    /// Fails with "interrupted" once [`Cancel::cancel`] was called.
    pub fn check(&self) -> Result<(), Fault> {
        if self.0.load(Ordering::SeqCst) {
            Err(Fault::interrupted())
        } else {
            Ok(())
        }
    }
}
