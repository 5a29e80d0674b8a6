//! What opened doors and does not any more.

use std::collections::HashSet;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::ids::{UserId, WorkspaceId};

/// The SHA-256 of a whole token; what is kept and looked up in its place.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct TokenHash(pub [u8; 32]);

/// Something that was taken back.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Revoked {
    /// A daemon's token, or a person's.
    Token(TokenHash),
    Member {
        user: UserId,
        workspace: WorkspaceId,
    },
}

/// All tokens and memberships by which sockets were opened.
#[derive(Clone, Debug, Default)]
pub struct Openers {
    pub tokens: HashSet<TokenHash>,
    pub members: HashSet<(UserId, WorkspaceId)>,
}

impl Revoked {
    /// A token by its hash as it is kept; nothing when that is no hash.
    pub fn token(hash: &str) -> Option<Self> {
        TokenHash::parse(hash).map(Self::Token)
    }
}

impl TokenHash {
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).ok()?;
        Some(Self(bytes))
    }
}

/// 64 lower-case hex digits.
impl fmt::Display for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl Serialize for TokenHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TokenHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("not a token's hash"))
    }
}
