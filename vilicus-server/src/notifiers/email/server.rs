//! Where mail goes: the server's address, how it is secured, and the login.

use std::fmt;
use std::sync::Arc;

use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, TlsParameters};
use percent_encoding::percent_decode_str;
use rustls::ClientConfig;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use url::{Host, Url};
use vilicus_core::ParamsError;

use super::EmailParams;
use crate::notifiers::Secret;
use crate::outbound::OutboundPolicy;

/// A mail server as a channel names it.
pub(super) struct Server {
    /// A name or an address, without brackets.
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) security: Security,
    pub(super) login: Option<Login>,
}

/// How the connection is secured. None of these gives way to another.
pub(super) enum Security {
    /// Not at all.
    Plain,
    /// By an upgrade that the server must offer.
    StartTls(TlsParameters),
    /// From the first byte.
    Tls { name: ServerName<'static>, config: Arc<ClientConfig> },
}

/// A user and the password.
pub(super) struct Login {
    user: String,
    password: Secret,
}

impl Login {
    pub(super) fn credentials(&self) -> Credentials {
        Credentials::new(self.user.clone(), self.password.expose().to_owned())
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let security = match self.security {
            Security::Plain => "smtp",
            Security::StartTls(_) => "smtp+starttls",
            Security::Tls { .. } => "smtps",
        };
        write!(f, "Server({security}://{}:{})", self.host, self.port)
    }
}

impl Server {
    /// Reads the server's part of the parameters.
    pub(super) fn parse(params: &EmailParams, outbound: &OutboundPolicy) -> Result<Self, ParamsError> {
        let url = Url::parse(&params.smtp).map_err(|error| wrong(&format!("not an address: {error}")))?;
        let host = parse_host(&url)?;
        let (default_port, security) = match url.scheme() {
            "smtp" => (25, Security::Plain),
            "smtp+starttls" => (587, Security::StartTls(later_tls(&trusting(params, outbound)?, &host)?)),
            "smtps" => (465, tls(&trusting(params, outbound)?, &host)?),
            _ => return Err(wrong("must begin with smtp://, smtp+starttls:// or smtps://")),
        };
        let login = parse_login(&url, params)?;
        if login.is_some() && matches!(security, Security::Plain) && !is_loopback(&host) {
            return Err(wrong("would send the password in the clear; use smtp+starttls:// or smtps://"));
        }
        Ok(Self { host, port: url.port().unwrap_or(default_port), security, login })
    }
}

fn wrong(problem: &str) -> ParamsError {
    ParamsError::new("smtp", format!("smtp: {problem}"))
}

/// The host in one form, so that no notation of an address escapes the judgement.
fn parse_host(url: &Url) -> Result<String, ParamsError> {
    if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("must end after the host and the port"));
    }
    match url.host_str().map(Host::parse) {
        Some(Ok(Host::Domain(name))) => Ok(name),
        Some(Ok(Host::Ipv4(address))) => Ok(address.to_string()),
        Some(Ok(Host::Ipv6(address))) => Ok(address.to_string()),
        Some(Err(_)) | None => Err(wrong("names no valid host, as smtp+starttls://mail.example.com")),
    }
}

fn is_loopback(host: &str) -> bool {
    match host.parse::<std::net::IpAddr>() {
        Ok(address) => address.is_loopback(),
        Err(_) => host == "localhost",
    }
}

fn parse_login(url: &Url, params: &EmailParams) -> Result<Option<Login>, ParamsError> {
    if url.password().is_some() {
        return Err(wrong("has a password in the address, where it can be read; give it as 'password'"));
    }
    let user = percent_decode_str(url.username())
        .decode_utf8()
        .map_err(|_| wrong("has a user that is not UTF-8"))?
        .into_owned();
    let one_line = |text: &str| !text.chars().any(char::is_control);
    match (user.is_empty(), &params.password) {
        (true, None) => Ok(None),
        (true, Some(_)) => Err(wrong("names no user for the password, as smtps://user@mail.example.com")),
        (false, None) => Err(ParamsError::new("password", "the password of the user is missing")),
        (false, Some(password)) if one_line(&user) && one_line(password.expose()) => {
            Ok(Some(Login { user, password: password.clone() }))
        }
        (false, Some(_)) => {
            Err(ParamsError::new("password", "user and password can't have control characters"))
        }
    }
}

/// The policy with the authorities that the channel brings.
fn trusting(params: &EmailParams, outbound: &OutboundPolicy) -> Result<OutboundPolicy, ParamsError> {
    let own = params.ca_file.as_deref().map(read_authorities).transpose()?;
    Ok(outbound.clone().trusting(own.into_iter().flatten()))
}

fn tls(outbound: &OutboundPolicy, host: &str) -> Result<Security, ParamsError> {
    let name = ServerName::try_from(host.to_owned())
        .map_err(|_| wrong("names no host that can have a certificate"))?;
    let config = outbound.tls_client_config().map_err(|error| wrong_ca(&error.to_string()))?;
    Ok(Security::Tls { name, config: Arc::new(config) })
}

/// TLS for a connection that begins without it; the same trust in the form that the upgrade wants.
fn later_tls(outbound: &OutboundPolicy, host: &str) -> Result<TlsParameters, ParamsError> {
    let mut builder = TlsParameters::builder(host.to_owned());
    for root in outbound.extra_roots() {
        let root = Certificate::from_der(root.to_vec()).map_err(|error| wrong_ca(&error.to_string()))?;
        builder = builder.add_root_certificate(root);
    }
    builder.build().map_err(|error| wrong_ca(&error.to_string()))
}

fn read_authorities(path: &str) -> Result<Vec<CertificateDer<'static>>, ParamsError> {
    let found = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|_| wrong_ca("it can't be read as PEM"))?;
    if found.is_empty() { Err(wrong_ca("it holds no certificate")) } else { Ok(found) }
}

fn wrong_ca(problem: &str) -> ParamsError {
    ParamsError::new("ca_file", format!("ca_file: {problem}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(smtp: &str, password: Option<&str>) -> Result<Server, ParamsError> {
        let params = EmailParams {
            smtp: smtp.to_owned(),
            password: password.map(Secret::from),
            from: String::new(),
            to: Vec::new(),
            ca_file: None,
            hello_name: None,
        };
        Server::parse(&params, &OutboundPolicy::default())
    }

    #[test]
    fn a_server_is_read_with_its_usual_port() {
        for (smtp, shown) in [
            ("smtp://mail.example.com", "Server(smtp://mail.example.com:25)"),
            ("smtp+starttls://Mail.Example.com", "Server(smtp+starttls://mail.example.com:587)"),
            ("smtps://mail.example.com/", "Server(smtps://mail.example.com:465)"),
            ("smtps://b%C3%BCro.example:2465", "Server(smtps://xn--bro-hoa.example:2465)"),
            ("smtp://[::1]:2525", "Server(smtp://::1:2525)"),
            ("smtp://0x7f.1", "Server(smtp://127.0.0.1:25)"),
        ] {
            assert_eq!(format!("{:?}", parse(smtp, None).unwrap()), shown, "{smtp}");
        }
    }

    #[test]
    fn a_user_may_hold_an_at_sign() {
        let server = parse("smtps://me%40example.com@mail.example.com", Some("p")).unwrap();
        assert_eq!(server.login.unwrap().user, "me@example.com");
        let server = parse("smtps://me@example.com@mail.example.com", Some("p")).unwrap();
        assert_eq!(server.login.unwrap().user, "me@example.com");
    }

    #[test]
    fn what_cannot_work_is_refused_with_its_mend() {
        for (smtp, password, pointer, words) in [
            ("", None, "/smtp", "not an address"),
            ("mail.example.com", None, "/smtp", "not an address"),
            ("http://mail.example.com", None, "/smtp", "must begin with"),
            ("smtp://", None, "/smtp", "no valid host"),
            ("smtp://a b", None, "/smtp", ""),
            ("smtps://mail.example.com/path", None, "/smtp", "must end"),
            ("smtps://mail.example.com?tls=no", None, "/smtp", "must end"),
            ("smtps://u:p@mail.example.com", None, "/smtp", "'password'"),
            ("smtps://mail.example.com", Some("p"), "/smtp", "no user"),
            ("smtps://u@mail.example.com", None, "/password", "missing"),
            ("smtps://u@mail.example.com", Some("p\r\nQUIT"), "/password", "control"),
            ("smtps://u%0d%0a@mail.example.com", Some("p"), "/password", "control"),
            ("smtp://u@mail.example.com", Some("p"), "/smtp", "in the clear"),
        ] {
            let error = parse(smtp, password).unwrap_err();
            assert_eq!(error.pointer, pointer, "{smtp}: {error}");
            assert!(error.detail.contains(words), "{smtp}: {error}");
        }
    }

    #[test]
    fn a_file_of_authorities_must_hold_one() {
        let folder = tempfile::tempdir().unwrap();
        let empty = folder.path().join("empty.pem");
        std::fs::write(&empty, "").unwrap();
        assert!(read_authorities(empty.to_str().unwrap()).unwrap_err().detail.contains("no certificate"));
        assert!(read_authorities("/nowhere.pem").unwrap_err().detail.contains("can't be read"));
    }
}
