//! A flag that asks all stages to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::Fault;

/// Shared by the signal handler and the stages; clones are the same flag.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Asks everyone to stop. Returns true if that had been asked before.
    pub fn cancel(&self) -> bool {
        self.0.swap(true, Ordering::SeqCst)
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
