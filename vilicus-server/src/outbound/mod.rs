//! Where requests of the server may go: webhooks, Pushover, mail, checks that the server runs itself.
//!
//! An operator may type any address, and a name may resolve to another address at each look. So the judgement is
//! made on the very addresses that are connected to ([`OutboundPolicy::resolve`] for plain sockets,
//! [`OutboundPolicy::http_client`] for HTTP), never on a name, and no redirect is followed. Proxies from the
//! environment are not used: they would connect in our place, unjudged.
//!
//! Deliberately absent: any look at the caller. Who may configure a channel is decided by the API.

mod address;
mod http_client;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use rustls_pki_types::CertificateDer;
use url::{Host, Url};

pub use address::Refusal;
use address::Scope;
pub use http_client::ClientError;
pub(crate) use http_client::{cause, insecure, unanswered, unresolved};

/// Which addresses the server's own requests may reach, and which certificates it trusts.
///
/// By default loopback and private networks are allowed, for most of what is monitored and told lives there;
/// link-local addresses, cloud metadata services and addresses that are no host are refused.
///
/// ```
/// use vilicus_server::outbound::OutboundPolicy;
///
/// let usual = OutboundPolicy::default();
/// assert!(usual.judge("192.168.1.20".parse()?).is_ok());
/// assert!(usual.judge("169.254.169.254".parse()?).is_err());
/// assert!(OutboundPolicy::public_only().judge("192.168.1.20".parse()?).is_err());
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct OutboundPolicy {
    only_public: bool,
    roots: Vec<CertificateDer<'static>>,
}

/// Why no address of a host can be connected to.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// The policy refuses every address of the host.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The name is unknown, or no name server answered.
    #[error("cannot resolve the name '{name}'; check it and the name servers")]
    Dns {
        /// The name that was looked up.
        name: String,
        /// What the system said.
        #[source]
        source: Arc<io::Error>,
    },
}

impl OutboundPolicy {
    /// The stricter policy: only addresses of the public internet.
    #[must_use]
    pub fn public_only() -> Self {
        Self { only_public: true, roots: Vec::new() }
    }

    /// The same policy, trusting these certificate authorities beside Mozilla's.
    #[must_use]
    pub fn trusting(mut self, roots: impl IntoIterator<Item = CertificateDer<'static>>) -> Self {
        self.roots.extend(roots);
        self
    }

    /// The certificate authorities that are trusted beside Mozilla's.
    #[must_use]
    pub fn extra_roots(&self) -> &[CertificateDer<'static>] {
        &self.roots
    }

    /// Whether this address may be connected to, whatever disguise it wears (IPv4 inside IPv6).
    ///
    /// # Errors
    /// The address, and the reason why it is refused.
    pub fn judge(&self, address: IpAddr) -> Result<(), Refusal> {
        let scope = address::scope_of(address);
        let refused = match scope {
            Scope::Public => false,
            Scope::Private | Scope::Loopback => self.only_public,
            Scope::LinkLocal | Scope::Metadata | Scope::NoHost => true,
        };
        if refused { Err(Refusal::new(address, scope)) } else { Ok(()) }
    }

    /// Judges the host of a URL when it is an address; a name is judged when it is resolved.
    ///
    /// # Errors
    /// The address is refused.
    pub fn judge_url(&self, url: &Url) -> Result<(), Refusal> {
        match url.host() {
            Some(Host::Ipv4(address)) => self.judge(address.into()),
            Some(Host::Ipv6(address)) => self.judge(address.into()),
            Some(Host::Domain(_)) | None => Ok(()),
        }
    }

    /// The addresses of this host that may be connected to; connect to these and not to the name.
    ///
    /// # Errors
    /// The name is unknown, or every address of it is refused.
    pub async fn resolve(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, ResolveError> {
        let found: Vec<SocketAddr> = match host.parse::<IpAddr>() {
            Ok(address) => vec![SocketAddr::new(address, port)],
            Err(_) => {
                tokio::net::lookup_host((host, port)).await.map_err(|error| dns(host, error))?.collect()
            }
        };
        let mut refusal = None;
        let mut allowed = Vec::with_capacity(found.len());
        for address in found {
            match self.judge(address.ip()) {
                Ok(()) => allowed.push(address),
                Err(refused) => refusal = Some(refused),
            }
        }
        match (allowed.is_empty(), refusal) {
            (false, _) => Ok(allowed),
            (true, Some(refusal)) => Err(refusal.into()),
            (true, None) => Err(dns(host, io::Error::from(io::ErrorKind::NotFound))),
        }
    }
}

fn dns(name: &str, error: io::Error) -> ResolveError {
    ResolveError::Dns { name: name.to_owned(), source: Arc::new(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_in_a_url_is_judged_whatever_its_notation() {
        let policy = OutboundPolicy::default();
        for url in [
            "http://169.254.169.254/latest/meta-data/",
            "http://2852039166/",
            "http://0xa9fea9fe/",
            "http://0251.0376.0251.0376/",
            "http://0xA9.0xFE.0xA9.0xFE/",
            "http://169.16689662/",
            "http://169.254.43518/",
            "http://169.254.169.254./",
            "http://①⑥⑨.②⑤④.①⑥⑨.②⑤④/",
            "http://%31%36%39.254.169.254/",
            "http://169。254。169。254/",
            "http://[::ffff:a9fe:a9fe]/",
            "http://[::ffff:169.254.169.254]:80/",
            "http://[fd00:ec2::254]/",
            "http://user@169.254.169.254/",
            "http://0/",
        ] {
            let parsed = Url::parse(url).unwrap();
            assert!(policy.judge_url(&parsed).is_err(), "{url}");
        }
        for url in ["http://127.0.0.1:8080/", "https://example.com/", "http://[::1]/", "http://10.0.0.1/"] {
            assert!(policy.judge_url(&Url::parse(url).unwrap()).is_ok(), "{url}");
        }
    }

    #[tokio::test]
    async fn a_name_is_judged_by_its_addresses() {
        let allowed = OutboundPolicy::default().resolve("localhost", 25).await.unwrap();
        assert!(allowed.iter().all(|address| address.ip().is_loopback() && address.port() == 25));
        let refused = OutboundPolicy::public_only().resolve("localhost", 25).await;
        assert!(matches!(refused, Err(ResolveError::Refused(_))), "{refused:?}");
    }
}
