//! Where results go: to the health view, to the judge in this process, and into the buffer for the server.

use std::sync::Arc;

use tracing::{debug, warn};
use vilicus_core::{CheckResult, Millis};

use crate::buffer::SharedBuffer;
use crate::health::HealthView;
use crate::local::LocalJudge;
use crate::measure::Key;
use crate::printable::printable;

/// Every place that results go to.
#[derive(Debug)]
pub(crate) struct Outlet {
    /// What `/healthz` shows.
    pub(crate) health: HealthView,
    /// Judges the program's own checks here, when there is somebody to tell.
    pub(crate) local: Option<LocalJudge>,
    /// Towards the server, when there is one.
    pub(crate) buffer: Option<Arc<SharedBuffer<Key>>>,
}

impl Outlet {
    /// Takes a result; returns how soon the check shall run again, when that is sooner than planned.
    pub(crate) fn take(&mut self, key: &Key, result: CheckResult) -> Option<Millis> {
        debug!(check = %key, status = ?result.status, output = %printable(&result.output), "result");
        let mut retry = None;
        if let Key::Own(name) = key {
            self.health.record(name, &result);
            retry = self.local.as_mut().and_then(|local| local.judge(name, &result));
        }
        if let Some(buffer) = &self.buffer {
            let lost = buffer.push(key.clone(), result);
            let dropped = buffer.lock().dropped();
            // The first is news; the whole count is in every check-in, and logged when the server is back.
            if lost > 0 && dropped == lost {
                warn!("the buffer is full; from now on the oldest results are lost until the server is back");
            }
        }
        retry
    }
}
