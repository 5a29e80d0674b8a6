//! What a file is, from its name where that settles it and else from its first bytes, in
//! the manner of the WHATWG's sniffing standard.

/// As many first bytes as decide.
pub const HEAD: usize = 512;

const TEXT: &str = "text/plain; charset=utf-8";
const BINARY: &str = "application/octet-stream";

/// The content type of a file with this name that begins with these bytes.
pub fn of(filename: &str, head: &[u8]) -> &'static str {
    match extension(filename).to_ascii_lowercase().as_str() {
        ".svg" => "image/svg+xml",
        ".css" => "text/css",
        ".js" | ".mjs" => "application/javascript",
        ".json" => "application/json",
        ".wasm" => "application/wasm",
        _ => sniff(&head[..head.len().min(HEAD)]),
    }
}

/// The last suffix with its dot; empty when there is none.
pub fn extension(filename: &str) -> &str {
    filename.rfind('.').map_or("", |dot| &filename[dot..])
}

/// Whether a browser shows it in place without running anything that is in it.
pub fn is_shown_inline(content_type: &str) -> bool {
    let kind = bare(content_type);
    kind != "image/svg+xml"
        && (["image/", "video/", "audio/"].iter().any(|family| kind.starts_with(family))
            || kind == "application/pdf")
}

/// Whether it can be read as plain text.
pub fn is_text(content_type: &str, filename: &str) -> bool {
    const TYPES: [&str; 8] = [
        "application/json",
        "application/javascript",
        "application/xml",
        "application/x-yaml",
        "application/yaml",
        "application/toml",
        "application/x-sh",
        "application/x-httpd-php",
    ];
    const SUFFIXES: &str = " md markdown txt log csv tsv html htm json xml yml yaml toml ini conf sh bash zsh py rb \
        go rs ts tsx js jsx mjs cjs css scss sass less sql java kt swift c cc cpp h hpp cs php lua vim dockerfile \
        makefile gitignore ";
    let kind = bare(content_type);
    let name = filename.to_ascii_lowercase();
    let suffix = extension(&name).trim_start_matches('.');
    kind.starts_with("text/")
        || TYPES.contains(&kind.as_str())
        || (!suffix.is_empty() && SUFFIXES.split(' ').any(|known| known == suffix))
        || ["dockerfile", "makefile", ".env"].contains(&name.as_str())
}

/// The type without its parameters.
fn bare(content_type: &str) -> String {
    content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn sniff(head: &[u8]) -> &'static str {
    let text = head.trim_ascii_start();
    if HTML.iter().any(|tag| begins_with_tag(text, tag)) {
        return "text/html; charset=utf-8";
    }
    if text.starts_with(b"<?xml") {
        return "text/xml; charset=utf-8";
    }
    if let Some((_, kind)) = MAGIC.iter().find(|(magic, _)| head.starts_with(magic)) {
        return kind;
    }
    match (head.get(..4), head.get(8..12), head.get(8..14)) {
        (Some(b"RIFF"), Some(b"WAVE"), _) => return "audio/wave",
        (Some(b"RIFF"), Some(b"AVI "), _) => return "video/avi",
        (Some(b"RIFF"), _, Some(b"WEBPVP")) => return "image/webp",
        (Some(b"FORM"), Some(b"AIFF"), _) => return "audio/aiff",
        _ => {}
    }
    if is_mp4(head) {
        return "video/mp4";
    }
    if head.iter().any(|byte| is_binary(*byte)) { BINARY } else { TEXT }
}

/// In any case, and followed by a space or the end of the tag.
fn begins_with_tag(text: &[u8], tag: &str) -> bool {
    let after = text.get(..tag.len()).filter(|start| start.eq_ignore_ascii_case(tag.as_bytes()));
    after.is_some() && (tag == "<!--" || matches!(text.get(tag.len()), Some(b' ' | b'>')))
}

/// A box `ftyp` with a brand that begins with `mp4`.
fn is_mp4(head: &[u8]) -> bool {
    let Some((size, rest)) = head.split_first_chunk::<4>() else { return false };
    let size = u32::from_be_bytes(*size) as usize;
    let is_box = size.is_multiple_of(4) && size <= head.len() && rest.starts_with(b"ftyp");
    is_box && (8..size).step_by(4).filter(|at| *at != 12).any(|at| head[at..].starts_with(b"mp4"))
}

fn is_binary(byte: u8) -> bool {
    matches!(byte, 0..=8 | 0x0b | 0x0e..=0x1a | 0x1c..=0x1f)
}

const HTML: [&str; 17] = [
    "<!doctype html",
    "<html",
    "<head",
    "<script",
    "<iframe",
    "<h1",
    "<div",
    "<font",
    "<table",
    "<a",
    "<style",
    "<title",
    "<b",
    "<body",
    "<br",
    "<p",
    "<!--",
];

const MAGIC: [(&[u8], &str); 25] = [
    (b"%PDF-", "application/pdf"),
    (b"%!PS-Adobe-", "application/postscript"),
    (b"\xfe\xff", "text/plain; charset=utf-16be"),
    (b"\xff\xfe", "text/plain; charset=utf-16le"),
    (b"\xef\xbb\xbf", TEXT),
    (b"\0\0\x01\0", "image/x-icon"),
    (b"\0\0\x02\0", "image/x-icon"),
    (b"BM", "image/bmp"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b".snd", "audio/basic"),
    (b"ID3", "audio/mpeg"),
    (b"OggS\0", "application/ogg"),
    (b"MThd\0\0\0\x06", "audio/midi"),
    (b"\x1a\x45\xdf\xa3", "video/webm"),
    (b"OTTO", "font/otf"),
    (b"wOFF", "font/woff"),
    (b"wOF2", "font/woff2"),
    (b"\x1f\x8b\x08", "application/x-gzip"),
    (b"PK\x03\x04", "application/zip"),
    (b"Rar!\x1a\x07\0", "application/x-rar-compressed"),
    (b"Rar!\x1a\x07\x01\0", "application/x-rar-compressed"),
    (b"\0asm", "application/wasm"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_decide_unless_the_name_does() {
        let rows: [(&str, &[u8], &str); 14] = [
            ("a.txt", b"hello", TEXT),
            ("a.md", b"", TEXT),
            ("a.png", b"hello", TEXT),
            ("a.txt", b"\x89PNG\r\n\x1a\n\0", "image/png"),
            ("a.svg", b"<svg onload=x>", "image/svg+xml"),
            ("a.JSON", b"{}", "application/json"),
            ("a", b" \n<SCRIPT>x", "text/html; charset=utf-8"),
            ("a", b"<scripty>", TEXT),
            ("a", b"<?xml version", "text/xml; charset=utf-8"),
            ("a", b"RIFF\0\0\0\0WEBPVP8 ", "image/webp"),
            ("a", b"\0\0\0\x10ftypmp42\0\0\0\0", "video/mp4"),
            ("a", b"\xff\xff\xff\xffftyp", TEXT),
            ("a", b"a\0b", BINARY),
            ("a.pdf", b"%PDF-1.7", "application/pdf"),
        ];
        for (name, head, expected) in rows {
            assert_eq!(of(name, head), expected, "{name} {head:?}");
        }
    }

    #[test]
    fn what_may_run_is_never_shown_inline() {
        for (kind, inline) in [
            ("image/png", true),
            ("image/svg+xml", false),
            ("image/svg+xml; charset=utf-8", false),
            ("application/pdf", true),
            ("text/html; charset=utf-8", false),
            (TEXT, false),
        ] {
            assert_eq!(is_shown_inline(kind), inline, "{kind}");
        }
    }

    #[test]
    fn text_is_known_by_type_or_name() {
        for (kind, name, text) in [
            (TEXT, "x", true),
            (BINARY, "main.rs", true),
            (BINARY, "Makefile", true),
            (BINARY, "x.bin", false),
            (BINARY, "x", false),
            ("image/png", "x.png", false),
        ] {
            assert_eq!(is_text(kind, name), text, "{kind} {name}");
        }
    }
}
