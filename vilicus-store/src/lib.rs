//! What vilicus remembers: one atomic, durable unit of work, and many reads.
//!
//! | you want | take |
//! |---|---|
//! | a store by its address | [`url::open`] with `sled:DIR` or `memory:` |
//! | the embedded store over an engine of your own | [`EngineStore`] and the trait [`Engine`] |
//! | a store over something with transactions of its own | the trait [`Store`] |

pub mod backup;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod embedded;
pub mod engine;
pub mod error;
pub mod inventory;
pub mod json;
pub mod memory;
pub mod outbox;
pub mod query;
pub mod report;
#[cfg(feature = "sled")]
pub mod sled;
pub mod store;
pub mod url;

pub use embedded::{EngineStore, Options};
pub use engine::{Engine, EngineError, EngineErrorKind};
pub use error::{Refusal, StoreError};
pub use json::Json;
pub use memory::MemoryEngine;
#[cfg(feature = "sled")]
pub use sled::SledEngine;
pub use store::{Change, Input, Outcome, Sequence, Store, StoreHealth};
