//! People who log in with a name and a password.
//!
//! A person is kept as a [`Token`] of its own purpose, so that roles, sessions and the audit trail are the same for
//! all. What is kept of a password is what Argon2id makes of it (RFC 9106) with the parameters that OWASP's
//! *Password Storage Cheat Sheet* names first: 19 MiB, two passes, one lane. The salt is made of the name and of the
//! moment when the password was set, so no two passwords of a server have the same.

use std::sync::Arc;

use argon2::{Algorithm, Argon2, Params, Version};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use tokio::sync::Semaphore;
use vilicus_core::{Timestamp, TokenId};
use vilicus_store::inventory::{Token, TokenPurpose};
use vilicus_store::{Change, Input, Store, StoreError};

use crate::api::AppState;
use crate::http::{Peer, Problem};
use crate::tokens;

/// The fewest characters of a password; NIST SP 800-63B wants at least 8.
pub(crate) const SHORTEST_PASSWORD: usize = 10;
/// The most characters of a password.
pub(crate) const LONGEST_PASSWORD: usize = 1000;
/// Each needs its 19 MiB and a processor for a while: more at a time wait.
static AT_A_TIME: Semaphore = Semaphore::const_new(1);

/// What is kept of a password.
///
/// # Errors
/// 500 when it can't be computed.
pub(crate) async fn hash_of(
    name: &str,
    set_at: Timestamp,
    password: &SecretString,
) -> Result<[u8; 32], Problem> {
    // The semaphore is never closed.
    let _place = AT_A_TIME.acquire().await.map_err(|_| Problem::internal())?;
    let salt = salt(name, set_at);
    let password = password.clone();
    let computed = tokio::task::spawn_blocking(move || {
        let mut hash = [0; 32];
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::default());
        argon2.hash_password_into(password.expose_secret().as_bytes(), &salt, &mut hash).map(|()| hash)
    });
    computed.await.map_err(|_| Problem::internal())?.map_err(|_| Problem::internal())
}

fn salt(name: &str, set_at: Timestamp) -> [u8; 32] {
    let hash =
        Sha256::new().chain_update("vilicus password\n").chain_update(set_at.as_millis().to_be_bytes());
    hash.chain_update(name).finalize().into()
}

/// Whether somebody can log in by name.
///
/// # Errors
/// The store can't read.
pub(crate) async fn are_there_any(store: &dyn Store) -> Result<bool, StoreError> {
    Ok(store.tokens().await?.iter().any(|token| token.purpose == TokenPurpose::Password))
}

/// Takes a name and a password. A name that nobody has takes as long as one that somebody has. Unlike a token each
/// try counts, the good ones, too, and before the work: that of a password is what an attacker would make the server do.
///
/// # Errors
/// 401 when they do not belong together; 429 after too many tries from this address.
pub(crate) async fn log_in(
    state: &AppState,
    peer: Peer,
    name: &str,
    password: &SecretString,
) -> Result<Arc<Token>, Problem> {
    let tries = state.failed_logins().take(peer.subscriber(), state.clock().monotonic());
    tries.map_err(|span| Problem::too_many("too many tries to log in from this address", span))?;
    let mut tokens = state.store().tokens().await?;
    tokens.retain(|token| token.purpose == TokenPurpose::Password && token.name == name);
    let user = tokens.pop();
    let set_at = user.as_ref().map_or(Timestamp::from_millis(0), |user| user.created_at);
    let hash = hash_of(name, set_at, password).await?;
    let valid = user.filter(|user| bool::from(user.hash.ct_eq(&hash)));
    valid.ok_or_else(|| Problem::unauthorized("the name and the password do not belong together"))
}

/// Ends all sessions of this person, but the one that is kept.
///
/// # Errors
/// The store can't read or write.
pub(crate) async fn end_sessions(
    state: &AppState,
    name: &str,
    but: Option<TokenId>,
    by: &str,
) -> Result<(), StoreError> {
    let of_them = |token: &&Arc<Token>| {
        token.purpose == TokenPurpose::Session
            && tokens::who_logged_in(&token.name) == name
            && Some(token.id) != but
    };
    let remove =
        |token: &Arc<Token>| Input::Change { change: Change::DeleteToken(token.id), by: by.to_owned() };
    let inputs: Vec<Input> = state.store().tokens().await?.iter().filter(of_them).map(remove).collect();
    if !inputs.is_empty() {
        state.store().commit(state.clock().now(), inputs).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_hash_is_of_one_name_one_moment_and_one_password() {
        let (now, later) = (Timestamp::from_millis(1), Timestamp::from_millis(2));
        let hash = |name: &'static str, at, password: &'static str| async move {
            hash_of(name, at, &password.into()).await.unwrap()
        };
        let one = hash("anna", now, "correct horse").await;
        assert_eq!(one, hash("anna", now, "correct horse").await);
        for other in
            [("anna", now, "correct house"), ("bert", now, "correct horse"), ("anna", later, "correct horse")]
        {
            assert_ne!(one, hash(other.0, other.1, other.2).await);
        }
    }
}
