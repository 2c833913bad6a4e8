//! Who may use the API and the pages: tokens, login links, sessions.

use launchway_model::Problem;
use launchway_model::api::{LoginLink, NewToken, Token};

use crate::Control;

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

/// Which token this is, if it is one; compared in constant time.
pub async fn verify_token(control: &Control, _token: &str) -> Result<Option<TokenId>, Problem> {
    let _ = control;
    Err(Problem::unavailable("control is not running"))
}

/// A link that logs a browser in, once, within ten minutes: `URL/login?code=CODE`.
pub async fn create_login_link(control: &Control) -> Result<LoginLink, Problem> {
    let _ = control;
    Err(Problem::unavailable("control is not running"))
}

/// Turns the code of a login link into a session, once.
pub async fn redeem(control: &Control, _code: &str) -> Result<Session, Problem> {
    let _ = control;
    Err(Problem::unavailable("control is not running"))
}

/// Whether a session is valid.
pub async fn verify_session(control: &Control, _secret: &str) -> Result<bool, Problem> {
    let _ = control;
    Err(Problem::unavailable("control is not running"))
}

/// Ends a session.
pub async fn end_session(control: &Control, _secret: &str) -> Result<(), Problem> {
    let _ = control;
    Err(Problem::unavailable("control is not running"))
}

/// All tokens, without their secrets.
pub async fn tokens(control: &Control) -> Result<Vec<Token>, Problem> {
    let _ = control;
    Err(Problem::unavailable("control is not running"))
}

/// Makes a token.
pub async fn create_token(control: &Control, _name: &str) -> Result<NewToken, Problem> {
    let _ = control;
    Err(Problem::unavailable("control is not running"))
}

/// Makes a token invalid.
pub async fn revoke_token(control: &Control, _id: u64) -> Result<(), Problem> {
    let _ = control;
    Err(Problem::unavailable("control is not running"))
}
