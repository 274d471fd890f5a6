//! The words, the open traits and the judge of the vilicus monitoring system.
//!
//! **Agents measure, the judge decides, the store remembers, the dispatcher tells.** This crate holds what all
//! four speak of. It does no I/O, reads no clock and needs no runtime: time and randomness come in as arguments.
//!
//! | you want to | read |
//! |---|---|
//! | check something of your own | [`Check`], [`check::from_fn`], [`IntoCheckResult`] |
//! | give others a configurable kind of check | [`CheckKind`], [`KindRegistry`] |
//! | tell people in a way of your own | [`Notifier`], [`NotifierKind`] |
//! | know when and why people are told | [`judge`], [`judge::telling`], [`judge::gates`] |
//! | say who is told of what | [`route`]: [`Route`], [`Matcher`], [`Inhibition`] |
//! | plan silence | [`downtime`], [`acknowledgement`] |
//! | hear of jobs that stay out | [`heartbeat`] |
//! | speak of times of day and week, in any zone | [`schedule`] |
//! | judge stored results again under another policy | [`replay`] |

pub mod acknowledgement;
pub mod availability;
pub mod check;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod downtime;
pub mod event;
pub mod heartbeat;
pub mod id;
pub mod judge;
pub mod kind;
pub mod merge;
pub mod metric;
pub mod notification;
pub mod notifier;
pub mod params;
pub mod perfdata;
pub mod plugin;
pub mod policy;
pub mod replay;
pub mod result;
pub mod route;
pub mod schedule;
pub mod state;
pub mod status;
pub mod threshold;
pub mod time;

pub use async_trait::async_trait;

pub use acknowledgement::Acknowledgement;
pub use check::{Check, CheckContext};
pub use downtime::Downtime;
pub use event::Event;
pub use id::{
    AgentId, ChannelId, CheckId, DowntimeId, EventId, InhibitionId, NotificationId, RouteId, TemplateId,
    TokenId,
};
pub use kind::{CheckKind, KindRegistry};
pub use metric::{Metric, Unit};
pub use notification::{Notification, NotificationEvent, NotificationItem};
pub use notifier::{Notifier, NotifierKind, NotifierRegistry, NotifyError, Receipt};
pub use params::ParamsError;
pub use policy::Policy;
pub use result::{CheckResult, IntoCheckResult};
pub use route::{Inhibition, Labels, Matcher, Route};
pub use state::CheckState;
pub use status::{StateType, Status};
pub use threshold::{Range, Threshold, Thresholds};
pub use time::{Millis, Timestamp};

#[cfg(doctest)]
#[doc = include_str!("../../docs/writing-a-check.md")]
mod writing_a_check {}

#[cfg(all(doctest, feature = "conformance"))]
#[doc = include_str!("../../docs/writing-a-notifier.md")]
mod writing_a_notifier {}
