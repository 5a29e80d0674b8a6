//! The shape of tokens: a prefix that tells the kind, then 40 hex digits of chance.

use rand::TryRng;
use rand::rngs::SysRng;
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::model::revoked::TokenHash;

/// A person's.
pub const PERSONAL: &str = "mul_";
/// A daemon's, confined to a workspace.
pub const DAEMON: &str = "mdt_";
/// A running task's.
pub const TASK: &str = "mat_";
/// A person's, which a service elsewhere vouches for.
pub const CLOUD: &str = "mcn_";
/// An operator's, for the admin API.
pub const ADMIN: &str = "mop_";

#[derive(Debug, Error)]
#[error("the system gave no random bytes")]
pub struct NoRandomness;

/// A fresh token of the kind that `prefix` names.
pub fn mint(prefix: &str) -> Result<String, NoRandomness> {
    let mut bytes = [0_u8; 20];
    SysRng.try_fill_bytes(&mut bytes).map_err(|_| NoRandomness)?;
    Ok(format!("{prefix}{}", hex::encode(bytes)))
}

/// The first twelve characters, which a list may show.
pub fn prefix(token: &str) -> &str {
    token.get(..12).unwrap_or(token)
}

/// What is stored and looked up in place of the token: 64 hex digits.
pub fn hash(token: &str) -> String {
    let mut digits = [0; 64];
    // As many digits as there is room for; digit by digit it would take longer than the hash.
    let _ = hex::encode_to_slice(Sha256::digest(token.as_bytes()), &mut digits);
    String::from_utf8_lossy(&digits).into_owned()
}

/// By what to know that the token was revoked, for tokens that can be: a login and a cloud's
/// token end by themselves, a task's with its task.
pub fn revocable(token: &str) -> Option<TokenHash> {
    let kept = token.starts_with(PERSONAL) || token.starts_with(DAEMON);
    kept.then(|| TokenHash(Sha256::digest(token.as_bytes()).into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_of_the_whole_token() {
        assert_eq!(
            hash("mdt_0123456789abcdef0123456789abcdef01234567"),
            "06d6231a22d37d52d0d68ca411deeca5aeb53ceff8c4ff6238eda952a1e5de2d"
        );
    }

    #[test]
    fn a_minted_token_has_forty_hex_digits() {
        let token = mint(TASK).unwrap_or_default();
        assert_eq!(token.len(), 44);
        assert!(token[4..].bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)));
    }
}
