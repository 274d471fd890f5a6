//! Which addresses the checks of this host may connect to.
//!
//! An agent on its own host reaches what the host reaches. One inside a server is told by everyone who may make
//! checks there, and its server says where it may go. The address that is connected to is judged, after names were
//! looked up and redirects followed.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

/// Which addresses `tcp` and `http` checks may connect to; by default all.
#[derive(Clone, Default)]
pub struct Reach {
    judge: Option<Arc<Judge>>,
}

type Judge = dyn Fn(IpAddr) -> Result<(), String> + Send + Sync;

impl Reach {
    /// Only addresses that `judge` permits; its refusal is a sentence for people.
    #[must_use]
    pub fn limited(judge: impl Fn(IpAddr) -> Result<(), String> + Send + Sync + 'static) -> Self {
        Self { judge: Some(Arc::new(judge)) }
    }

    /// Whether this address may be connected to.
    pub(super) fn permits(&self, address: IpAddr) -> Result<(), String> {
        self.judge.as_ref().map_or(Ok(()), |judge| judge(address.to_canonical()))
    }
}

impl fmt::Debug for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reach").field("limited", &self.judge.is_some()).finish()
    }
}
