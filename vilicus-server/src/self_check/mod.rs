//! The server watches itself, by ordinary checks on an agent of its own: their results go through the same judge, the
//! same gates and the same routes as any other, and operators change their thresholds like any other's.
//!
//! | file | |
//! |---|---|
//! | `watch`, `look` | the kind `self`: what there is to look at, and the looks |
//! | `aggregate` | the kind `aggregate`, which the same runner runs: how many of a set of checks are well |
//! | `set_up` | the agent and its checks |
//! | `runner` | runs what the server checks by itself |
//! | `blindness` | when most agents fall silent at once |
//! | `direct` | the one way around the outbox, for when the store or the dispatcher is what fails |
//! | `outbound` | the sign of life that someone else waits for |
//!
//! Deliberately absent: a look from outside. That the whole machine is gone, someone else has to notice: see `outbound`.

mod aggregate;
mod blindness;
mod direct;
mod instruments;
mod look;
mod outbound;
mod runner;
mod set_up;
mod watch;

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::watch::Receiver;
use tokio::task::JoinSet;
use vilicus_core::KindRegistry;

use crate::dispatcher;
use crate::freshness::Freshness;
use crate::health::{Pulse, Vitals};
use crate::http::Tls;
use crate::outbound::OutboundPolicy;
use crate::server::dropped;
use crate::settings::Settings;

pub use aggregate::{Aggregate, AggregateParams};
pub(crate) use blindness::Blindness;
pub use blindness::{Blind, Limits as BlindnessLimits};
pub use direct::Direct;
pub use instruments::{Commits, Instruments};
pub use outbound::{Heartbeat, HeartbeatError, LastCall};
pub use runner::Runner;
pub(crate) use set_up::GUID;
pub use set_up::SetUpError;
pub use watch::{SelfKind, SelfParams, Watch};

/// The self-checks can't begin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SelfCheckError {
    /// Their agent and checks can't be made.
    #[error(transparent)]
    SetUp(#[from] SetUpError),
    /// The heartbeat address can't be called.
    #[error(transparent)]
    Heartbeat(#[from] HeartbeatError),
}

/// All that watches the server while it runs.
#[derive(Debug)]
pub(crate) struct SelfChecks {
    instruments: Instruments,
    parts: dispatcher::Parts,
    blindness: Option<Blindness>,
    heartbeat: Option<Heartbeat>,
}

/// These kinds, and those that a server with these instruments runs by itself.
pub(crate) fn with_server_kinds(kinds: KindRegistry, instruments: Instruments) -> KindRegistry {
    kinds.with(Aggregate::new(instruments.store.clone())).with(SelfKind::new(instruments))
}

impl SelfChecks {
    /// Makes the agent and its checks, or takes them away when the settings want none.
    ///
    /// # Errors
    /// The store can't write, or the heartbeat address can't be called.
    pub(crate) async fn set_up(
        parts: dispatcher::Parts,
        vitals: Vitals,
        settings: &Settings,
        outbound: &OutboundPolicy,
        tls: Option<Arc<Tls>>,
        data_dir: Option<PathBuf>,
    ) -> Result<Self, SelfCheckError> {
        let (store, clock, now) = (parts.store.clone(), parts.clock.clone(), parts.clock.now());
        let present = set_up::Present {
            certificate: tls.is_some(),
            directory: data_dir.is_some(),
            heartbeat: settings.heartbeat_url.is_some(),
        };
        let own = match settings.self_checks {
            true => Some(set_up::ensure(store.as_ref(), present, now).await?),
            false => {
                set_up::remove(store.as_ref(), now).await?;
                None
            }
        };
        let standing = parts.standing.clone();
        let instruments =
            Instruments { vitals, standing, tls, data_dir, own, ..Instruments::new(store, clock) };
        // What only the self-checks tell of is not held back, nor called for, without them.
        let blindness = own.map(|own| Blindness::new(settings.blindness, Some(own), now));
        let url = settings.heartbeat_url.as_ref().filter(|_| own.is_some());
        let every = settings.heartbeat_interval;
        let heartbeat = url.map(|url| Heartbeat::new(instruments.clone(), outbound, url.expose(), every));
        Ok(Self { instruments, parts, blindness, heartbeat: heartbeat.transpose()? })
    }

    /// These kinds, and those that the server runs by itself.
    pub(crate) fn with_server_kinds(&self, kinds: KindRegistry) -> KindRegistry {
        with_server_kinds(kinds, self.instruments.clone())
    }

    /// The watch over silence, which knows of blindness.
    pub(crate) fn freshness(&mut self, pulse: Pulse) -> Freshness {
        let Instruments { store, clock, vitals, .. } = &self.instruments;
        let freshness = Freshness::new(store.clone(), clock.clone(), pulse);
        freshness.watching(vitals.outlook.clone(), self.blindness.take())
    }

    /// Starts all of it.
    pub(crate) fn start(self, tasks: &mut JoinSet<()>, stopped: &Receiver<()>) {
        let kinds = self.with_server_kinds(KindRegistry::new());
        tasks.spawn(Runner::new(self.instruments.clone(), kinds).run(dropped(stopped.clone())));
        tasks.spawn(Direct::new(self.parts, self.instruments).run(dropped(stopped.clone())));
        if let Some(heartbeat) = self.heartbeat {
            tasks.spawn(heartbeat.run(dropped(stopped.clone())));
        }
    }
}
