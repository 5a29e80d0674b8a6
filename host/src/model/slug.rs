//! The name of a workspace in addresses.

use thiserror::Error;

/// What may be wrong with a slug.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum SlugError {
    #[error("slug must contain only lowercase letters, numbers, and hyphens")]
    Pattern,
    #[error("slug is reserved")]
    Reserved,
}

/// Names that addresses of the product itself begin with, or may come to.
const RESERVED: &str = "login logout signin signout signup auth oauth callback invite invitations verify reset \
    password onboarding api admin multica www new home homepage dashboard help about pricing changelog docs support \
    status legal privacy terms security contact contact-sales blog careers press download usecases profile account \
    billing notifications search members issues projects autopilots agents squads inbox my-issues usage runtimes \
    skills settings workspaces teams v1 v2 graphql webhooks sdk tokens cli health readyz healthz ws metrics ping \
    postmaster abuse noreply webmaster hostmaster mail ftp static cdn assets public files uploads";

/// Whether a new workspace may have this slug.
pub fn check(slug: &str) -> Result<(), SlugError> {
    if !is_slug(slug) {
        return Err(SlugError::Pattern);
    }
    if RESERVED.split_ascii_whitespace().any(|name| name == slug) {
        return Err(SlugError::Reserved);
    }
    Ok(())
}

/// Lower-case letters and digits in groups with a single hyphen between them.
pub fn is_slug(text: &str) -> bool {
    text.split('-').all(|part| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs_are_told_from_others() {
        for (slug, expected) in [
            ("acme", Ok(())),
            ("acme-2-x", Ok(())),
            ("", Err(SlugError::Pattern)),
            ("-a", Err(SlugError::Pattern)),
            ("a--b", Err(SlugError::Pattern)),
            ("A", Err(SlugError::Pattern)),
            ("bad slug", Err(SlugError::Pattern)),
            ("api", Err(SlugError::Reserved)),
            ("contact-sales", Err(SlugError::Reserved)),
        ] {
            assert_eq!(check(slug), expected, "{slug}");
        }
    }
}
