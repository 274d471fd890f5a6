//! Why a server can't start, or had to stop.

use std::io;
use std::net::SocketAddr;

use vilicus_store::StoreError;

use crate::http::tls::TlsError;
use crate::local_agent::LocalAgentError;
use crate::self_check::SelfCheckError;
use crate::tokens::TokenError;

/// A server can't start, or had to stop.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// Nothing was handed in that remembers.
    #[error("the server has no store; hand one to the builder")]
    NoStore,
    /// An address can't be listened on.
    #[error("cannot listen on {address}; is it in use, or not of this host?")]
    Listen {
        /// Which address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The certificate can't be used.
    #[error("cannot serve HTTPS")]
    Tls(#[from] TlsError),
    /// The store failed.
    #[error("the store failed")]
    Store(#[from] StoreError),
    /// A token can't be made.
    #[error("a token of the server's own cannot be made")]
    Token(#[from] TokenError),
    /// The embedded agent can't be set up.
    #[error("the embedded agent cannot be set up")]
    LocalAgent(#[from] LocalAgentError),
    /// The server can't watch itself.
    #[error("the self-checks cannot begin")]
    SelfChecks(#[from] SelfCheckError),
    /// The store can't write any longer, and opening it again did not mend it.
    #[error("the store cannot be used any longer: {fault}; see docs/operations.md for how to restore it")]
    StoreLost {
        /// Why.
        fault: String,
    },
}
