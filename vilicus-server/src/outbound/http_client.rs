//! An HTTP client under an [`OutboundPolicy`]: its own resolver, its own TLS, no redirects, no proxy, bounded time.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;
use rustls::{ClientConfig, RootCertStore};
use vilicus_core::notification::one_line;
use vilicus_core::{Millis, NotifyError};

use super::{OutboundPolicy, ResolveError};

/// The longest that a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest that a whole exchange may take, from the first look at the name to the last byte of the answer.
const TOTAL_TIMEOUT: Duration = Duration::from_secs(30);

/// The longest account of a TLS error, in characters.
const MAX_WORDS: usize = 200;

/// How long a channel rests when no name server answered, which is rarely for good.
const DNS_REST: Millis = Millis::from_minutes(1);

impl OutboundPolicy {
    /// A client whose every connection goes to an address that this policy allows.
    ///
    /// The host of a URL that is an address is not resolved; ask [`OutboundPolicy::judge_url`] first.
    ///
    /// # Errors
    /// The trusted certificates can't be used.
    pub fn http_client(&self) -> Result<reqwest::Client, ClientError> {
        reqwest::Client::builder()
            .tls_backend_preconfigured(self.tls_client_config()?)
            .dns_resolver(Arc::new(JudgedResolver { policy: self.clone() }))
            .redirect(Policy::none())
            .no_proxy()
            .http1_only()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TOTAL_TIMEOUT)
            .user_agent(concat!("vilicus/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| ClientError(Box::new(error.without_url())))
    }

    /// TLS as a client: ring, Mozilla's authorities and the extra ones.
    pub(crate) fn tls_client_config(&self) -> Result<ClientConfig, ClientError> {
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        for root in &self.roots {
            roots.add(root.clone()).map_err(|error| ClientError(Box::new(error)))?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        Ok(ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| ClientError(Box::new(error)))?
            .with_root_certificates(roots)
            .with_no_client_auth())
    }
}

/// No HTTP client could be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot prepare outgoing HTTPS; check the trusted certificates")]
pub struct ClientError(#[source] Box<dyn Error + Send + Sync>);

/// Gives reqwest only the addresses that the policy allows; these are what it connects to.
#[derive(Debug)]
struct JudgedResolver {
    policy: OutboundPolicy,
}

impl Resolve for JudgedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let policy = self.policy.clone();
        Box::pin(async move {
            // Port 0 stands for the port of the URL.
            let allowed: Vec<SocketAddr> = policy.resolve(name.as_str(), 0).await?;
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

/// What to do about a request that got no answer. `service` names the remote in the error, as 'the webhook'; the
/// URL never does, for it may hold a token.
pub(crate) fn unanswered(service: &str, error: &reqwest::Error) -> NotifyError {
    if let Some(resolve) = cause::<ResolveError>(error) {
        return unresolved(resolve);
    }
    if let Some(tls) = cause::<rustls::Error>(error) {
        return insecure(service, tls);
    }
    let what = match () {
        () if error.is_timeout() => "did not answer in time",
        () if error.is_connect() => "could not be connected to",
        () => "closed the connection before it answered",
    };
    match cause::<io::Error>(error) {
        Some(io) if !error.is_timeout() => NotifyError::retry(format!("{service} {what}: {}", io.kind())),
        _ => NotifyError::retry(format!("{service} {what}")),
    }
}

/// What to do about a remote whose TLS is not to be trusted.
pub(crate) fn insecure(service: &str, error: &rustls::Error) -> NotifyError {
    // The text may hold the names in a foreign certificate.
    let words: String = one_line(&error.to_string()).chars().take(MAX_WORDS).collect();
    NotifyError::channel(format!("no secure connection to {service}: {words}"))
}

/// What to do about a host without an address that may be connected to.
pub(crate) fn unresolved(error: &ResolveError) -> NotifyError {
    match error {
        ResolveError::Refused(refusal) => NotifyError::channel(refusal.to_string()),
        // Nothing passes while a name is unknown; but a name server that was away comes back without anyone's mend.
        ResolveError::Dns { .. } => NotifyError::channel(error.to_string()).after(DNS_REST),
    }
}

/// The first cause of this type in the chain. What hides in an [`io::Error`] is found too: rustls puts its own there.
pub(crate) fn cause<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<E>() {
            return Some(found);
        }
        // `source` of an io::Error skips the error that it holds and gives that one's source.
        let held = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = match held {
            Some(held) => Some(held),
            None => error.source(),
        };
    }
    None
}
