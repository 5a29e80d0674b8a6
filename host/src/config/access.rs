//! Who is let in, under the names that existing deployments set.

use anyhow::Context;
use chrono::TimeDelta;
use secrecy::SecretString;

/// `AUTH_TOKEN_TTL` when it is not set.
const TOKEN_DAYS: i64 = 30;

#[derive(Clone, Debug)]
pub struct Access {
    /// Signs logins; absent means one that the gateway makes and keeps.
    pub jwt_secret: Option<SecretString>,
    /// How long a login is valid.
    pub token_ttl: TimeDelta,
    pub signup: Signup,
    /// Six digits that pass for any address with a pending code; never in production.
    pub development_code: Option<String>,
    /// Where the web app is served.
    pub app_url: Option<String>,
    /// Whether browsers reach the product by https alone.
    pub secure_cookies: bool,
    /// Who vouches for cloud tokens; no slash at the end.
    pub cloud_url: Option<String>,
    /// What the deployment calls itself, for display.
    pub environment: String,
}

/// Who may make an account.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Signup {
    /// What holds for everybody the lists do not name.
    pub open: bool,
    /// In lower case.
    pub emails: Vec<String>,
    pub domains: Vec<String>,
}

impl Signup {
    /// Whether an address that has no account may get one. A list that names somebody
    /// keeps everybody else out.
    pub fn allows(&self, email: &str) -> bool {
        let domain = email.rsplit_once('@').map(|(_, domain)| domain).unwrap_or_default();
        if self.emails.iter().any(|allowed| allowed == email)
            || self.domains.iter().any(|allowed| allowed == domain)
        {
            return true;
        }
        self.open && self.emails.is_empty() && self.domains.is_empty()
    }
}

impl Access {
    /// Reads and checks; `var` gives a variable's value.
    pub fn read(var: impl Fn(&str) -> Option<String>) -> anyhow::Result<Self> {
        let text = |name: &str| var(name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        let list = |name: &str| -> Vec<String> {
            let parts = text(name).unwrap_or_default();
            parts.split(',').map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect()
        };
        let lower = |name: &str| list(name).iter().map(|part| part.to_lowercase()).collect();
        let environment = text("APP_ENV").unwrap_or_default();
        let frontend = text("FRONTEND_ORIGIN");
        let code = text("MULTICA_DEV_VERIFICATION_CODE")
            .filter(|code| code.len() == 6 && code.bytes().all(|byte| byte.is_ascii_digit()))
            .filter(|_| environment != "production");
        let cloud = text("MULTICA_CLOUD_FLEET_URL").or_else(|| text("MULTICA_FLEET_URL"));
        Ok(Self {
            jwt_secret: var("JWT_SECRET").filter(|secret| !secret.is_empty()).map(Into::into),
            token_ttl: match text("AUTH_TOKEN_TTL") {
                Some(ttl) => duration(&ttl)
                    .with_context(|| format!("AUTH_TOKEN_TTL is `{ttl}`; write it like 720h or 30m"))?,
                None => TimeDelta::days(TOKEN_DAYS),
            },
            signup: Signup {
                open: text("ALLOW_SIGNUP").as_deref() != Some("false"),
                emails: lower("ALLOWED_EMAILS"),
                domains: lower("ALLOWED_EMAIL_DOMAINS"),
            },
            development_code: code,
            app_url: text("MULTICA_APP_URL").or_else(|| frontend.clone()),
            secure_cookies: frontend.is_some_and(|origin| origin.starts_with("https://")),
            cloud_url: cloud.map(|url| url.trim_end_matches('/').to_owned()).filter(|url| !url.is_empty()),
            environment,
        })
    }
}

/// Hours, minutes and seconds in a row, as in `1h30m`; a bare number is seconds. Not zero.
fn duration(text: &str) -> Option<TimeDelta> {
    let mut total: i64 = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number: i64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit = match rest.chars().next() {
            Some('h') => 3600,
            Some('m') => 60,
            Some('s') => 1,
            None if digits == text.len() => 1,
            _ => return None,
        };
        rest = rest.get(1..).unwrap_or_default();
        total = total.checked_add(number.checked_mul(unit)?)?;
    }
    // A century; past it the end of a login cannot be written down.
    (1..=3_155_760_000).contains(&total).then(|| TimeDelta::seconds(total))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(vars: &[(&str, &str)]) -> anyhow::Result<Access> {
        Access::read(|name| vars.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn durations_read_as_deployments_write_them() {
        for (text, expected) in [
            ("720h", Some(720 * 3600)),
            ("1h30m5s", Some(5405)),
            ("90", Some(90)),
            ("", None),
            ("0", None),
            ("5x", None),
            ("-1h", None),
            ("1.5h", None),
            ("h", None),
            ("99999999999999999999h", None),
            ("5m7", None),
        ] {
            assert_eq!(duration(text), expected.map(TimeDelta::seconds), "{text}");
        }
    }

    #[test]
    fn a_list_keeps_everybody_else_out() -> anyhow::Result<()> {
        let check = |vars: &[(&str, &str)], email: &str, expected: bool| -> anyhow::Result<()> {
            assert_eq!(read(vars)?.signup.allows(email), expected, "{vars:?} {email}");
            Ok(())
        };
        check(&[], "a@b.c", true)?;
        check(&[("ALLOW_SIGNUP", "false")], "a@b.c", false)?;
        check(&[("ALLOW_SIGNUP", "false"), ("ALLOWED_EMAILS", " A@b.c , ")], "a@b.c", true)?;
        check(&[("ALLOWED_EMAILS", "x@b.c")], "a@b.c", false)?;
        check(&[("ALLOWED_EMAIL_DOMAINS", "b.c,d.e")], "a@b.c", true)?;
        check(&[("ALLOWED_EMAIL_DOMAINS", "b.c,d.e")], "a@xb.c", false)
    }

    #[test]
    fn what_is_set_is_what_holds() -> anyhow::Result<()> {
        let plain = read(&[])?;
        assert!(plain.jwt_secret.is_none() && plain.cloud_url.is_none() && !plain.secure_cookies);
        let set = read(&[
            ("FRONTEND_ORIGIN", "https://app.example"),
            ("MULTICA_FLEET_URL", " http://fleet// "),
            ("MULTICA_DEV_VERIFICATION_CODE", "123456"),
        ])?;
        assert_eq!(set.app_url.as_deref(), Some("https://app.example"));
        assert!(set.secure_cookies);
        assert_eq!(set.cloud_url.as_deref(), Some("http://fleet"));
        assert_eq!(set.development_code.as_deref(), Some("123456"));
        let production = read(&[("APP_ENV", "production"), ("MULTICA_DEV_VERIFICATION_CODE", "123456")])?;
        assert_eq!(production.development_code, None);
        assert_eq!(read(&[("MULTICA_DEV_VERIFICATION_CODE", "12345x")])?.development_code, None);
        assert!(read(&[("AUTH_TOKEN_TTL", "soon")]).is_err());
        Ok(())
    }
}
