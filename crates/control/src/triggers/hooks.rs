//! Takes a webhook in: who sent it, whether it came before, what it says. What is to be done about it is written down and done
//! elsewhere, so that a sender never waits for git.
//!
//! # Replays
//! - A delivery whose id came before is told so and does nothing.
//! - GitHub, Gitea and GitLab do not sign the id, so that a captured body could come again under another one. A body that is
//!   about a pull request therefore counts once, by its hash. One about a branch only makes us look at the
//!   remote, which is harmless at any time.
//! - A sender that signs a timestamp ("Standard Webhooks") is refused when that is more than five minutes off.
//!
//! What is refused before the sender is proved costs the store nothing.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use launchway_model::hook::{self, Hook, HookEvent, Proof};
use launchway_model::trigger::Delivery;
use launchway_model::{AppName, Problem, ProblemKind};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::{Control, problem, secrets};

/// How far a signed timestamp may be off, in seconds.
const SKEW: i64 = 300;
/// How many deliveries of one app may wait to be acted on.
const WAITING: u64 = 500;

/// What became of a webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HookAnswer {
    /// It will be acted on.
    Accepted,
    /// It came before.
    Duplicate,
    /// It needs nothing to be done.
    Nothing(&'static str),
}

/// Takes a webhook of an app in.
///
/// # Errors
/// The sender does not know the secret (or there is no such app: a stranger is not told which), the payload is not
/// understood, too many wait already, or the store fails.
pub async fn take_hook(
    control: &Control,
    app: &AppName,
    hook: &Hook,
    body: &[u8],
) -> Result<HookAnswer, Problem> {
    let stored = control
        .store
        .triggers(Some(app))
        .await
        .map_err(problem::store)?
        .pop();
    let sealed = stored.and_then(|stored| stored.secret);
    let secret = match &sealed {
        Some(sealed) => control
            .vault
            .unseal_bytes(&super::secret_context(app), sealed)
            .ok_or_else(|| {
                secrets::unreadable(format!(
                    "the secret of the webhooks of `{app}` cannot be decrypted"
                ))
            })?,
        // The same work is done for an app that does not exist, so that time does not tell.
        None => vec![0; 48],
    };
    let now = Timestamp::now();
    let proved = proves(&hook.proof, &secret, body);
    if sealed.is_none() || !proved {
        return Err(Problem::new(
            ProblemKind::Unauthenticated,
            "the webhook's signature does not fit this address",
        )
        .hint("`launchway triggers secret --app APP` makes a secret; enter it at the forge as the webhook's secret."));
    }
    if let Proof::Signed { timestamp, .. } = &hook.proof {
        let sent: i64 = timestamp.parse().unwrap_or(0);
        if now.as_second().abs_diff(sent) > SKEW.unsigned_abs() {
            return Err(Problem::new(
                ProblemKind::Unauthenticated,
                "the webhook's time is more than five minutes off",
            )
            .hint("Check the clocks of both machines."));
        }
    }
    let event = hook::read(hook, body).map_err(|error| Problem::invalid(error.to_string()))?;
    let digest = Sha256::digest(body);
    let id = hook
        .delivery
        .clone()
        .unwrap_or_else(|| format!("body-{digest:x}"));
    let (payload, outcome, answer) = match &event {
        Some(HookEvent::Ping) => (None, "pong", HookAnswer::Nothing("pong")),
        None => (
            None,
            "nothing to do for this event",
            HookAnswer::Nothing("nothing to do for this event"),
        ),
        Some(event) => (
            Some(
                serde_json::to_string(event)
                    .map_err(|error| Problem::internal("cannot encode an event").cause(error))?,
            ),
            "waits",
            HookAnswer::Accepted,
        ),
    };
    if payload.is_some() {
        let waiting = control
            .store
            .count_waiting_deliveries(app)
            .await
            .map_err(problem::store)?;
        if waiting >= WAITING {
            return Err(Problem::unavailable(format!(
                "{waiting} webhooks of this app wait already"
            )));
        }
    }
    let once = matches!(event, Some(HookEvent::Change { .. })).then_some(digest.as_slice());
    let delivery = Delivery {
        id,
        event: hook.event.clone(),
        at: now,
        outcome: outcome.to_owned(),
    };
    let new = control
        .store
        .take_delivery(app, &delivery, payload.as_deref(), once)
        .await
        .map_err(problem::store)?;
    if !new {
        return Ok(HookAnswer::Duplicate);
    }
    control.looking.delivered.notify_one();
    Ok(answer)
}

/// Whether a proof shows that the sender knows the secret; takes the same time whatever it is wrong in.
fn proves(proof: &Proof, secret: &[u8], body: &[u8]) -> bool {
    match proof {
        Proof::Missing => false,
        Proof::Token(token) => {
            // Hashes have one length, so that the secret's own does not show.
            let (given, known) = (Sha256::digest(token.as_bytes()), Sha256::digest(secret));
            given.ct_eq(&known).into()
        }
        Proof::Hmac(hex) => {
            let mac = hmac(secret, &[body]);
            let hex = hex.trim().to_ascii_lowercase();
            let expected: String = mac.iter().map(|byte| format!("{byte:02x}")).collect();
            hex.as_bytes().ct_eq(expected.as_bytes()).into()
        }
        Proof::Signed {
            id,
            timestamp,
            signatures,
        } => {
            let head = format!("{id}.{timestamp}.");
            let expected = STANDARD.encode(hmac(secret, &[head.as_bytes(), body]));
            signatures
                .split_ascii_whitespace()
                .take(5)
                .filter_map(|signature| signature.strip_prefix("v1,"))
                .any(|given| given.as_bytes().ct_eq(expected.as_bytes()).into())
        }
    }
}

/// HMAC-SHA256, as RFC 2104 defines it.
fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    const BLOCK: usize = 64;
    let mut block = [0_u8; BLOCK];
    if key.len() > BLOCK {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let mut inner = Sha256::new();
    inner.update(block.map(|byte| byte ^ 0x36));
    for part in parts {
        inner.update(part);
    }
    let mut outer = Sha256::new();
    outer.update(block.map(|byte| byte ^ 0x5c));
    outer.update(inner.finalize());
    outer.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn the_test_vectors_of_rfc_4231() {
        assert_eq!(
            hex(&hmac(&[0x0b; 20], &[b"Hi There"])),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
        );
        assert_eq!(
            hex(&hmac(b"Jefe", &[b"what do ya want ", b"for nothing?"])),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        assert_eq!(
            hex(&hmac(
                &[0xaa; 131],
                &[b"Test Using Larger Than Block-Size Key - Hash Key First"]
            )),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
        );
    }

    #[test]
    fn the_example_of_githubs_documentation() {
        // "It's a Secret to Everybody", "Hello, World!"
        let proof = Proof::Hmac(
            "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17".to_owned(),
        );
        assert!(proves(
            &proof,
            b"It's a Secret to Everybody",
            b"Hello, World!"
        ));
        assert!(!proves(
            &proof,
            b"It's a Secret to Everybody",
            b"Hello, World?"
        ));
        assert!(!proves(&proof, b"another", b"Hello, World!"));
        for wrong in ["", "75", "zz", &"7".repeat(64), &"7".repeat(5000)] {
            assert!(!proves(&Proof::Hmac(wrong.to_owned()), b"k", b"x"));
        }
        assert!(!proves(&Proof::Missing, b"", b""));
        assert!(proves(&Proof::Token("a".into()), b"a", b""));
        assert!(!proves(&Proof::Token("".into()), b"a", b""));
    }
}
