//! Rules about texts that agents and people write.

use std::fmt::Write;

/// The most a trigger summary keeps, in Unicode scalar values.
const SUMMARY_CHARS: usize = 200;

/// One line of a comment, for lists: white space flattened, trimmed, cut with `…`.
/// Nothing when there is no text.
pub fn trigger_summary(content: &str) -> Option<String> {
    let flat = content.replace(['\n', '\r', '\t'], " ");
    let flat = flat.trim();
    if flat.is_empty() {
        return None;
    }
    Some(cut(flat, SUMMARY_CHARS))
}

/// At most `chars` scalar values, with `…` behind when something was cut.
pub fn cut(text: &str, chars: usize) -> String {
    match text.char_indices().nth(chars) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// A text between double quotes, for messages that repeat what was sent.
pub fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_ascii_control() => {
                let _ = write!(out, "\\x{:02x}", u32::from(c));
            }
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Turns the two-character escapes `\n`, `\r`, `\t` and `\\` into what they stand for, in
/// one pass; any other backslash stays.
pub fn decode_escapes(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let decoded = match (c, chars.peek()) {
            ('\\', Some('n')) => '\n',
            ('\\', Some('r')) => '\r',
            ('\\', Some('t')) => '\t',
            ('\\', Some('\\')) => '\\',
            _ => {
                out.push(c);
                continue;
            }
        };
        chars.next();
        out.push(decoded);
    }
    out
}

/// Whether a reply says no more than "done", in one of the languages that agents use.
pub fn is_trivial_acknowledgement(text: &str) -> bool {
    let lower = text.trim().to_lowercase();
    let bare = lower.trim_matches(['.', '!', '！', '。', '…', ' ']);
    matches!(bare, "done" | "готово" | "готова" | "сделано" | "完成" | "完了")
}

/// The display form of a work directory that reveals no account name: the part from
/// `<workspace>/<first 8 hex digits of the task>` on; else what follows a home directory;
/// else the last segment. Nothing when that is empty.
pub fn relative_work_dir(work_dir: &str, workspace_id: &str, task_id: &str) -> Option<String> {
    let path = work_dir.replace('\\', "/");
    if path.is_empty() {
        return None;
    }
    let short: String = task_id.chars().filter(|c| *c != '-').take(8).collect();
    if !workspace_id.is_empty()
        && !short.is_empty()
        && let Some(at) = path.find(&format!("{workspace_id}/{short}"))
    {
        return Some(path[at..].to_owned());
    }
    if let Some(rest) = below_home(&path) {
        return (!rest.is_empty()).then(|| rest.to_owned());
    }
    path.split('/').rfind(|segment| !segment.is_empty()).map(str::to_owned)
}

/// What follows `/Users/<name>` or `/home/<name>`, a drive letter before it allowed.
fn below_home(path: &str) -> Option<&str> {
    let bytes = path.as_bytes();
    let path =
        if bytes.len() > 2 && bytes[0].is_ascii_alphabetic() && bytes[1] == b':' { &path[2..] } else { path };
    let mut parts = path.splitn(4, '/');
    let (root, home, name) = (parts.next()?, parts.next()?, parts.next()?);
    let is_home = home.eq_ignore_ascii_case("users") || home.eq_ignore_ascii_case("home");
    (root.is_empty() && is_home && !name.is_empty()).then(|| parts.next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_decoded_once() {
        for (given, expected) in
            [(r"a\nb", "a\nb"), (r"a\\nb", r"a\nb"), (r"a\qb\", r"a\qb\"), (r"\\\t", "\\\t"), ("", "")]
        {
            assert_eq!(decode_escapes(given), expected);
        }
    }

    #[test]
    fn quotes_escape_what_would_break_a_line() {
        assert_eq!(quoted("a\"b\\\n\u{1}é\u{85}"), "\"a\\\"b\\\\\\n\\x01é\\u0085\"");
    }

    #[test]
    fn only_a_bare_done_is_trivial() {
        for text in ["Done.", " done! ", "…完了。", "ГОТОВО"] {
            assert!(is_trivial_acknowledgement(text), "{text}");
        }
        for text in ["done: see above", "", "all done"] {
            assert!(!is_trivial_acknowledgement(text), "{text}");
        }
    }

    #[test]
    fn work_dirs_lose_the_account() {
        let (workspace, task) = ("w-1", "0123-456789ab");
        for (given, expected) in [
            ("", None),
            ("/home/ann/x/w-1/01234567/repo", Some("w-1/01234567/repo")),
            (r"C:\Users\ann\src\app", Some("src/app")),
            ("/HOME/ann", None),
            ("/home/ann/", None),
            ("/srv/build/app/", Some("app")),
            ("/", None),
        ] {
            assert_eq!(relative_work_dir(given, workspace, task).as_deref(), expected, "{given}");
        }
    }

    #[test]
    fn summaries_are_one_line_of_two_hundred() {
        assert_eq!(trigger_summary(" \n\t"), None);
        assert_eq!(trigger_summary("a\nb").as_deref(), Some("a b"));
        let long = "é".repeat(201);
        assert_eq!(trigger_summary(&long), Some(format!("{}…", "é".repeat(200))));
    }
}
