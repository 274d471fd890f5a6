//! What vilicus remembers: one atomic, durable unit of work, and many reads.

pub mod engine;
pub mod error;
pub mod inventory;
pub mod json;
pub mod outbox;
pub mod query;
pub mod store;

pub use engine::{Engine, EngineError, EngineErrorKind};
pub use error::{Refusal, StoreError};
pub use json::Json;
pub use store::{Change, Input, Outcome, Sequence, Store, StoreHealth};
