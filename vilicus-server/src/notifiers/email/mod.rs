//! Sends a message by e-mail, over SMTP.
//!
//! `server.rs` reads where the mail goes, `message.rs` writes it, `connection.rs` reaches the server,
//! `transaction.rs` speaks with it, and `fault.rs` says what to do about what went wrong.
//!
//! *Sources:* RFC 5321 (SMTP), RFC 5322 (the message), RFC 3207 (STARTTLS), RFC 4954 (AUTH), RFC 3834
//! (`Auto-Submitted`).

mod connection;
mod fault;
mod message;
mod server;
mod transaction;

use std::sync::Arc;
use std::time::Duration;

use lettre::Address;
use lettre::message::Mailbox;
use lettre::transport::smtp::extension::ClientId;
use schemars::JsonSchema;
use serde::Deserialize;
use url::Host;
use vilicus_core::{Notification, Notifier, NotifierKind, NotifyError, ParamsError, Receipt, async_trait};

use self::server::Server;
use self::transaction::{Outcome, Transaction};
use super::Secret;
use super::progress::Progress;
use super::wording::cut;
use crate::outbound::OutboundPolicy;

/// The longest that one try may take, from the look at the name to the server's last word.
const TRY_TIMEOUT: Duration = Duration::from_secs(30);

/// The longest account of who got a mail and who did not, in characters.
const MAX_ACCOUNT: usize = 1000;

/// The most recipients of one channel. *Source:* RFC 5321, section 4.5.3.1.8: every server takes at least 100.
const MAX_RECIPIENTS: usize = 100;

/// Parameters of e-mail.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct EmailParams {
    /// The server: `smtp`, `smtp+starttls` or `smtps`, as `smtp+starttls://user@mail.example.com:587`.
    pub smtp: String,
    /// The password of the user that the server's address names.
    pub password: Option<Secret>,
    /// The sender, as `vilicus@example.com` or `Vilicus <vilicus@example.com>`.
    pub from: String,
    /// The recipients; all stand in the header.
    pub to: Vec<String>,
    /// A PEM file with certificate authorities to trust beside Mozilla's.
    pub ca_file: Option<String>,
    /// The name by which the server is greeted; this host's own unless given.
    pub hello_name: Option<String>,
}

/// The kind of notifier that sends e-mail.
#[derive(Debug, Clone)]
pub struct Email {
    outbound: OutboundPolicy,
    progress: Progress,
}

impl Email {
    /// E-mail under this policy.
    #[must_use]
    pub fn new(outbound: OutboundPolicy) -> Self {
        Self { outbound, progress: Progress::default() }
    }
}

impl NotifierKind for Email {
    type Params = EmailParams;

    fn name(&self) -> &'static str {
        "email"
    }

    fn description(&self) -> &'static str {
        "Sends e-mail over SMTP."
    }

    fn secrets(&self) -> &'static [&'static str] {
        &["password"]
    }

    fn build(&self, params: EmailParams) -> Result<Arc<dyn Notifier>, ParamsError> {
        Ok(Arc::new(EmailNotifier {
            server: Server::parse(&params, &self.outbound)?,
            hello: parse_hello(params.hello_name.as_deref())?,
            from: parse_mailbox("/from", &params.from)?,
            to: parse_recipients(&params.to)?,
            kind: self.clone(),
        }))
    }
}

fn parse_recipients(texts: &[String]) -> Result<Vec<Mailbox>, ParamsError> {
    if texts.is_empty() || texts.len() > MAX_RECIPIENTS {
        return Err(ParamsError::new("to", format!("'to' must list 1 to {MAX_RECIPIENTS} addresses")));
    }
    let mut to: Vec<Mailbox> = Vec::with_capacity(texts.len());
    for (index, text) in texts.iter().enumerate() {
        let mailbox = parse_mailbox(&format!("/to/{index}"), text)?;
        if !to.iter().any(|earlier| earlier.email == mailbox.email) {
            to.push(mailbox);
        }
    }
    Ok(to)
}

fn parse_mailbox(pointer: &str, text: &str) -> Result<Mailbox, ParamsError> {
    let wrong = |problem: &str| {
        let shown: String = text.chars().filter(|c| !c.is_control()).take(100).collect();
        ParamsError { pointer: pointer.to_owned(), detail: format!("'{shown}' {problem}") }
    };
    // A full match against control characters, before anything is parsed: a line break would be a header.
    if text.chars().any(char::is_control) {
        return Err(wrong("has a control character"));
    }
    let mailbox: Mailbox = text
        .trim()
        .parse()
        .map_err(|_| wrong("is not an address, as ops@example.com or Ops <ops@example.com>"))?;
    if !mailbox.email.user().is_ascii() {
        return Err(wrong("has letters before the @ that many servers refuse; use an ASCII address"));
    }
    let email = ascii_domain(&mailbox.email).ok_or_else(|| wrong("has no valid domain"))?;
    Ok(Mailbox::new(mailbox.name, email))
}

/// The address with its domain in the form that every server understands (`xn--…`).
fn ascii_domain(address: &Address) -> Option<Address> {
    if address.domain().starts_with('[') {
        return Some(address.clone());
    }
    let Ok(Host::Domain(domain)) = Host::parse(address.domain()) else { return None };
    Address::new(address.user(), domain).ok()
}

fn parse_hello(name: Option<&str>) -> Result<ClientId, ParamsError> {
    match name.map(Host::parse) {
        None => Ok(ClientId::default()),
        Some(Ok(Host::Domain(name))) => Ok(ClientId::Domain(name)),
        Some(Ok(Host::Ipv4(address))) => Ok(ClientId::Ipv4(address)),
        Some(Ok(Host::Ipv6(address))) => Ok(ClientId::Ipv6(address)),
        Some(Err(_)) => Err(ParamsError::new("hello_name", "not the name of a host")),
    }
}

/// A channel of this kind.
#[derive(Debug)]
struct EmailNotifier {
    server: Server,
    hello: ClientId,
    from: Mailbox,
    to: Vec<Mailbox>,
    kind: Email,
}

#[async_trait]
impl Notifier for EmailNotifier {
    async fn notify(&self, notification: &Notification) -> Result<Receipt, NotifyError> {
        let message = message::write(notification, &self.from, &self.to)?;
        // One that was served at an earlier try of this message must not get it again.
        let waiting =
            |mailbox: &&Mailbox| !self.kind.progress.is_done(&notification.key, mailbox.email.as_ref());
        let recipients: Vec<Address> =
            self.to.iter().filter(waiting).map(|mailbox| mailbox.email.clone()).collect();
        let mut outcome =
            if recipients.is_empty() { Outcome::default() } else { self.send(&recipients, &message).await? };
        for address in &outcome.served {
            self.kind.progress.done(&notification.key, address.as_ref());
        }
        // What was taken is remembered before anything waits, so that a try that is dropped here is not repeated.
        transaction::part(outcome.connection.take()).await;
        self.conclude(&notification.key, &outcome)
    }
}

impl EmailNotifier {
    async fn send(&self, recipients: &[Address], message: &[u8]) -> Result<Outcome, NotifyError> {
        let transaction = Transaction {
            server: &self.server,
            outbound: &self.kind.outbound,
            hello: &self.hello,
            from: &self.from.email,
            recipients,
            message,
        };
        let in_time = tokio::time::timeout(TRY_TIMEOUT, transaction.run()).await;
        in_time.map_err(|_| NotifyError::retry("the mail server took longer than 30 s"))?
    }

    /// Says what becomes of the message, by who has it now and who was refused.
    fn conclude(&self, key: &str, outcome: &Outcome) -> Result<Receipt, NotifyError> {
        let progress = &self.kind.progress;
        let served = self.to.iter().filter(|mailbox| progress.is_done(key, mailbox.email.as_ref())).count();
        let mut said = format!("accepted for {served} of {}", self.to.len());
        if let Some(answer) = &outcome.answer {
            said = format!("{said}: {answer}");
        }
        for refusal in &outcome.refused {
            said = format!("{said}; {refusal}");
        }
        let said = cut(&said, MAX_ACCOUNT);
        if outcome.refused.iter().any(|refusal| refusal.passing) {
            return Err(NotifyError::retry(said));
        }
        progress.forget(key);
        if served == 0 { Err(NotifyError::message(said)) } else { Ok(Receipt::new(said)) }
    }
}
