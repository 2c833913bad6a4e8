//! Who may use the API and the pages: tokens, login links, sessions.
//!
//! Every secret is 256 random bits and only its SHA-256 is kept, so that neither the database nor a look at memory gives
//! one away; hashes are compared in constant time. This module knows no cookies and no headers.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use launchway_model::Problem;
use launchway_model::api::{LoginLink, NewToken, Token};
use launchway_store::auth::{Hash, StoredToken};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};
use tokio::sync::RwLock;

use crate::Control;
use crate::problem::store;
use crate::secrets;

/// How long a login link is valid.
const LINK_VALID: SignedDuration = SignedDuration::from_mins(10);
/// How long a session is valid.
const SESSION_VALID: SignedDuration = SignedDuration::from_hours(30 * 24);
/// What a token starts with, so that it is known for what it is where it leaks.
const TOKEN_PREFIX: &str = "lwt_";
/// The token of `client.json`.
const LOCAL: &str = "local";

/// Names a token without being it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenId(pub u64);

/// A browser's session, to be kept in a cookie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// The secret that the cookie holds.
    pub secret: String,
    /// How long it is valid, in seconds.
    pub max_age: u64,
}

/// All tokens' hashes in memory, since each request asks for one.
pub(crate) type Tokens = RwLock<Vec<StoredToken>>;

/// Which token this is, if it is one; compared in constant time.
///
/// # Errors
/// None today; the store may be asked one day.
pub async fn verify_token(control: &Control, token: &str) -> Result<Option<TokenId>, Problem> {
    let given = hash(token);
    let mut found = None;
    for token in control.tokens.read().await.iter() {
        // All are looked at, whichever it is.
        if bool::from(token.hash.ct_eq(&given)) {
            found = Some(TokenId(token.id));
        }
    }
    Ok(found)
}

/// A link that logs a browser in, once, within ten minutes: `URL/login?code=CODE`.
///
/// # Errors
/// The store or the system's random numbers fail.
pub async fn create_login_link(control: &Control) -> Result<LoginLink, Problem> {
    let code = secret()?;
    let now = Timestamp::now();
    control
        .store
        .add_login_code(&hash(&code), now, after(now, LINK_VALID))
        .await
        .map_err(store)?;
    Ok(LoginLink {
        url: format!("{}/login?code={code}", control.settings().url),
    })
}

/// Turns the code of a login link into a session, once.
///
/// # Errors
/// [`Problem`] of kind unauthenticated where the code is unknown, spent or too old.
pub async fn redeem(control: &Control, code: &str) -> Result<Session, Problem> {
    let session = secret()?;
    let now = Timestamp::now();
    let redeemed = control
        .store
        .redeem(&hash(code), &hash(&session), now, after(now, SESSION_VALID))
        .await
        .map_err(store)?;
    if !redeemed {
        return Err(Problem::new(
            launchway_model::ProblemKind::Unauthenticated,
            "this login link was used before or is older than ten minutes",
        )
        .hint("`launchway login` prints a new one."));
    }
    Ok(Session {
        secret: session,
        max_age: SESSION_VALID.as_secs().unsigned_abs(),
    })
}

/// Whether a session is valid.
///
/// # Errors
/// The store fails.
pub async fn verify_session(control: &Control, secret: &str) -> Result<bool, Problem> {
    let given = hash(secret);
    let sessions = control
        .store
        .sessions(Timestamp::now())
        .await
        .map_err(store)?;
    let valid = sessions.iter().fold(Choice::from(0), |valid, session| {
        valid | session.ct_eq(&given)
    });
    Ok(valid.into())
}

/// Ends a session; one that is not there has ended already.
///
/// # Errors
/// The store fails.
pub async fn end_session(control: &Control, secret: &str) -> Result<(), Problem> {
    control
        .store
        .end_session(&hash(secret))
        .await
        .map_err(store)?;
    Ok(())
}

/// All tokens, without their secrets.
///
/// # Errors
/// None today; the store may be asked one day.
pub async fn tokens(control: &Control) -> Result<Vec<Token>, Problem> {
    let tokens = control.tokens.read().await;
    Ok(tokens
        .iter()
        .map(|token| Token {
            id: token.id,
            name: token.name.clone(),
            created: token.created,
        })
        .collect())
}

/// Makes a token. Its secret is in the answer and nowhere else.
///
/// # Errors
/// The name is empty or too long, or the store fails.
pub async fn create_token(control: &Control, name: &str) -> Result<NewToken, Problem> {
    let name = name.trim();
    if name.is_empty() || name.len() > 100 {
        return Err(Problem::invalid(
            "a token's name has between 1 and 100 characters",
        ));
    }
    let token = format!("{TOKEN_PREFIX}{}", secret()?);
    let now = Timestamp::now();
    let hash = hash(&token);
    let id = control
        .store
        .add_token(name, &hash, now)
        .await
        .map_err(store)?;
    control.tokens.write().await.push(StoredToken {
        id,
        name: name.to_owned(),
        created: now,
        hash,
    });
    Ok(NewToken { id, token })
}

/// Makes a token invalid at once.
///
/// # Errors
/// There is no such token, or the store fails.
pub async fn revoke_token(control: &Control, id: u64) -> Result<(), Problem> {
    let existed = control.store.remove_token(id).await.map_err(store)?;
    control.tokens.write().await.retain(|token| token.id != id);
    if existed {
        Ok(())
    } else {
        Err(Problem::not_found(format!("there is no token {id}")))
    }
}

/// The token for `client.json`: the one that is there already where it is still valid, a new one otherwise, which
/// makes older ones of its name invalid.
pub(crate) async fn local_token(
    control: &Control,
    kept: Option<String>,
) -> Result<String, Problem> {
    if let Some(kept) = kept
        && verify_token(control, &kept).await?.is_some()
    {
        return Ok(kept);
    }
    for old in tokens(control).await? {
        if old.name == LOCAL {
            revoke_token(control, old.id).await?;
        }
    }
    Ok(create_token(control, LOCAL).await?.token)
}

/// 256 random bits as text.
pub(crate) fn secret() -> Result<String, Problem> {
    Ok(URL_SAFE_NO_PAD.encode(secrets::random::<32>()?))
}

fn hash(secret: &str) -> Hash {
    Sha256::digest(secret.as_bytes()).into()
}

fn after(now: Timestamp, duration: SignedDuration) -> Timestamp {
    now.checked_add(duration).unwrap_or(Timestamp::MAX)
}
