//! One mail, one conversation: greet, secure, log in, name each recipient, hand over.
//!
//! A refused recipient does not end the conversation: the others still get the mail, in the same transaction, so
//! nobody gets it twice. Each step maps its own error, for the same code means different things at different steps.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use lettre::Address;
use lettre::transport::smtp::authentication::Mechanism;
use lettre::transport::smtp::client::AsyncSmtpConnection;
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::ClientId;
use lettre::transport::smtp::response::Response;
use vilicus_core::NotifyError;

use super::connection;
use super::fault::{self, Reply};
use super::server::{Login, Security, Server};
use crate::notifiers::wording::foreign;
use crate::outbound::{OutboundPolicy, unresolved};

/// The longest that a finished conversation waits for the server's goodbye.
const QUIT_TIMEOUT: Duration = Duration::from_secs(1);

/// Everything that one conversation needs.
pub(super) struct Transaction<'a> {
    pub(super) server: &'a Server,
    pub(super) outbound: &'a OutboundPolicy,
    pub(super) hello: &'a ClientId,
    pub(super) from: &'a Address,
    pub(super) recipients: &'a [Address],
    pub(super) message: &'a [u8],
}

/// How a conversation ended that got as far as the recipients.
#[derive(Default)]
pub(super) struct Outcome {
    /// Who gets the mail.
    pub(super) served: Vec<Address>,
    /// What the server said when it took the mail.
    pub(super) answer: Option<String>,
    /// Who does not get it, and why.
    pub(super) refused: Vec<RefusedRecipient>,
    /// The connection, to be parted with when the outcome is noted.
    pub(super) connection: Option<AsyncSmtpConnection>,
}

/// A recipient that the server did not take.
#[derive(Debug)]
pub(super) struct RefusedRecipient {
    address: Address,
    /// Whether another try may help.
    pub(super) passing: bool,
    words: String,
}

impl fmt::Display for RefusedRecipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = if self.passing { "put off" } else { "refused" };
        write!(f, "{} {verb}: {}", self.address, self.words)
    }
}

impl Transaction<'_> {
    /// Speaks with the server until it took the mail or refused it.
    pub(super) async fn run(&self) -> Result<Outcome, NotifyError> {
        let mut connection = connection::connect(self.server, &self.addresses().await?, self.hello).await?;
        if let Some(login) = &self.server.login {
            log_in(&mut connection, login).await?;
        }
        let mail = Mail::new(Some(self.from.clone()), Vec::new());
        connection.command(mail).await.map_err(|error| fault::of_channel("the sender", &error))?;
        let mut outcome = self.name_recipients(&mut connection).await?;
        if !outcome.served.is_empty() {
            let answer = self.hand_over(&mut connection).await?;
            outcome.answer = Some(said(&answer));
        }
        outcome.connection = Some(connection);
        Ok(outcome)
    }

    async fn addresses(&self) -> Result<Vec<SocketAddr>, NotifyError> {
        let mut addresses = self
            .outbound
            .resolve(&self.server.host, self.server.port)
            .await
            .map_err(|error| unresolved(&error))?;
        if self.server.login.is_some() && matches!(self.server.security, Security::Plain) {
            // `localhost` may be told to mean another machine; the password stays on this one.
            addresses.retain(|address| address.ip().is_loopback());
            if addresses.is_empty() {
                return Err(NotifyError::channel(
                    "the mail server is not on this machine: no login without TLS",
                ));
            }
        }
        Ok(addresses)
    }

    /// Names each recipient and sorts them by the server's answer.
    async fn name_recipients(&self, connection: &mut AsyncSmtpConnection) -> Result<Outcome, NotifyError> {
        let mut outcome = Outcome::default();
        for address in self.recipients {
            let Err(error) = connection.command(Rcpt::new(address.clone(), Vec::new())).await else {
                outcome.served.push(address.clone());
                continue;
            };
            match Reply::of(&error) {
                // 421 ends the conversation, whatever was agreed before; 530 asks for a login.
                Some(reply) if !matches!(reply.code, 421 | 530) => outcome.refused.push(RefusedRecipient {
                    address: address.clone(),
                    passing: reply.is_passing(),
                    words: reply.to_string(),
                }),
                _ => return Err(fault::of_channel("a recipient", &error)),
            }
        }
        Ok(outcome)
    }

    async fn hand_over(&self, connection: &mut AsyncSmtpConnection) -> Result<Response, NotifyError> {
        connection.command(Data).await.map_err(|error| fault::of_message(&error))?;
        connection.message(self.message).await.map_err(|error| fault::of_message(&error))
    }
}

/// Says goodbye. The mail is taken or refused for good; a server that does not answer changes nothing.
pub(super) async fn part(connection: Option<AsyncSmtpConnection>) {
    if let Some(mut connection) = connection {
        let _ = tokio::time::timeout(QUIT_TIMEOUT, connection.quit()).await;
    }
}

async fn log_in(connection: &mut AsyncSmtpConnection, login: &Login) -> Result<(), NotifyError> {
    let credentials = login.credentials();
    match connection.auth(&[Mechanism::Plain, Mechanism::Login], &credentials).await {
        Ok(_) => Ok(()),
        Err(error) => Err(fault::of_login(&error)),
    }
}

fn said(answer: &Response) -> String {
    let words: Vec<&str> = answer.message().collect();
    foreign(&format!("{} {}", answer.code(), words.join(" ")))
}
