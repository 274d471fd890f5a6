//! The tokens that the server makes by itself: one-time login links, sessions of browsers, those that its
//! environment names, that of its own command line, and that of the agent in its process.
//!
//! Only hashes reach the store. The API's own tokens are made by [`api`].

use std::fmt::Write as _;
use std::sync::Arc;

use secrecy::SecretString;
use vilicus_core::{AgentId, Millis, Timestamp};
use vilicus_store::inventory::{Role, Token, TokenPurpose};
use vilicus_store::{Change, Input, Store, StoreError};

use crate::api::{self, NoRandomness, Random, new_token};

/// The name of the token that the server's command line uses; new at each start, and good on loopback alone.
pub const LOCAL_TOKEN: &str = "local";
/// How long a login link works.
pub const LOGIN_LINK_LIFE: Millis = Millis::from_hours(1);
/// How long a browser stays logged in.
pub const SESSION_LIFE: Millis = Millis::from_hours(7 * 24);
/// What stands between whose session it is and its own number, in a session's name.
const SESSION_OF: &str = " (session ";
/// Whom a session is of that a login link began.
const LINK: &str = "login link";

/// Who is meant by the name of a session's token: the one who logged in.
#[must_use]
pub fn who_logged_in(session: &str) -> &str {
    session.rsplit_once(SESSION_OF).map_or(session, |(who, _)| who)
}

/// Who the audit trail says it was.
pub(crate) const BY: &str = "vilicus-server";

/// No token could be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// The system gives no randomness.
    #[error(transparent)]
    Random(#[from] NoRandomness),
    /// The store refused or failed.
    #[error("the token cannot be stored")]
    Store(#[from] StoreError),
}

/// A text that nobody can guess.
///
/// # Errors
/// The system gives no randomness.
pub fn fresh(random: &dyn Random) -> Result<SecretString, NoRandomness> {
    api::new_secret(random).map_err(|_| NoRandomness)
}

/// So many random bytes as hexadecimal digits.
fn hex(random: &dyn Random, bytes: usize) -> Result<String, NoRandomness> {
    let mut buffer = vec![0; bytes];
    random.fill(&mut buffer)?;
    Ok(buffer.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    }))
}

/// Sees to it that there is a token of this name with this role, text and agent, and no other of this name.
///
/// # Errors
/// The store can't read or write.
pub async fn ensure(
    store: &dyn Store,
    name: &str,
    role: Role,
    text: &SecretString,
    agent: Option<AgentId>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let wanted = Token { agent, ..new_token(name.to_owned(), role, text, now) };
    let tokens = store.tokens().await?;
    let change = match tokens.iter().find(|token| token.name == name) {
        None => Change::CreateToken(Box::new(wanted)),
        Some(found) if found.hash == wanted.hash && found.role == role && found.agent == agent => {
            return Ok(());
        }
        Some(found) => Change::UpdateToken(Box::new(Token { id: found.id, ..wanted })),
    };
    store.commit(now, vec![Input::Change { change, by: BY.to_owned() }]).await?;
    Ok(())
}

/// Sees to it that the server's own command line can use this text as its token, and no older one.
///
/// # Errors
/// The store can't read or write.
pub async fn ensure_local(store: &dyn Store, text: &SecretString, now: Timestamp) -> Result<(), StoreError> {
    ensure(store, LOCAL_TOKEN, Role::Admin, text, None, now).await
}

/// Makes a link that logs an admin in once: the path and query below the server's address.
///
/// # Errors
/// No randomness, or the store can't write.
pub async fn login_link(
    store: &dyn Store,
    random: &dyn Random,
    by: &str,
    now: Timestamp,
) -> Result<String, TokenError> {
    let code = hex(random, 32)?;
    let name = format!("login-{}", hex(random, 4)?);
    let token = Token {
        purpose: TokenPurpose::Login,
        uses: Some(1),
        expires_at: Some(now.after(LOGIN_LINK_LIFE)),
        ..new_token(name, Role::Admin, &code.as_str().into(), now)
    };
    let change = Change::CreateToken(Box::new(token));
    store.commit(now, vec![Input::Change { change, by: by.to_owned() }]).await?;
    Ok(format!("/login?code={code}"))
}

/// Begins a session with the rights of this token, and returns what its cookie holds. A login link is used up by it.
///
/// # Errors
/// No randomness, the store can't write, or the link was used in the meantime.
pub async fn begin_session(
    store: &dyn Store,
    random: &dyn Random,
    login: &Token,
    now: Timestamp,
) -> Result<SecretString, TokenError> {
    let text = fresh(random)?;
    let latest = now.after(SESSION_LIFE);
    let by_link = login.purpose == TokenPurpose::Login;
    let who = if by_link { LINK } else { login.name.as_str() };
    let session = Token {
        purpose: TokenPurpose::Session,
        // A session does not outlive the token that it came from; a link's end is only that of the link.
        expires_at: Some(login.expires_at.filter(|_| !by_link).map_or(latest, |end| end.min(latest))),
        ..new_token(format!("{who}{SESSION_OF}{})", hex(random, 8)?), login.role, &text, now)
    };
    let mut changes = vec![Change::CreateToken(Box::new(session))];
    if login.uses.is_some() {
        // First, so that a link that is used up makes no session: nothing of a refused commit is kept.
        changes.insert(0, Change::UseToken(login.id));
    }
    let by = login.name.clone();
    let inputs = changes.into_iter().map(|change| Input::Change { change, by: by.clone() }).collect();
    store.commit(now, inputs).await?;
    Ok(text)
}

/// Removes the sessions and links that have ended.
///
/// # Errors
/// The store can't read or write.
pub async fn remove_expired(store: &dyn Store, now: Timestamp) -> Result<(), StoreError> {
    let ended = |token: &&Arc<Token>| {
        matches!(token.purpose, TokenPurpose::Session | TokenPurpose::Login)
            && token.expires_at.is_some_and(|end| end <= now)
    };
    let tokens = store.tokens().await?;
    let remove =
        |token: &Arc<Token>| Input::Change { change: Change::DeleteToken(token.id), by: BY.to_owned() };
    let inputs: Vec<_> = tokens.iter().filter(ended).map(remove).collect();
    if !inputs.is_empty() {
        store.commit(now, inputs).await?;
    }
    Ok(())
}

/// Whether nobody can administer this server: then it prints a login link.
#[must_use]
pub fn has_no_admin(tokens: &[Arc<Token>], now: Timestamp) -> bool {
    let alive = |token: &Token| token.expires_at.is_none_or(|end| now < end);
    let counts = |token: &Token| {
        token.role == Role::Admin
            && token.purpose != TokenPurpose::Login
            && token.name != LOCAL_TOKEN
            && alive(token)
    };
    !tokens.iter().any(|token| counts(token))
}
