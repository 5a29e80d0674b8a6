//! Lists the migrations for the gateway to embed. sqlx's macro would do the same, and has both
//! databases' drivers compiled a second time for the compiler's own use.

use std::fmt::Write as _;
use std::path::Path;

/// Writes a list a database into `out`, each migration with its number, its name and its text.
pub fn list(root: &Path, out: &Path) -> Result<(), String> {
    let mut source = String::new();
    for engine in ["sqlite", "postgres"] {
        let folder = root.join("migrations").join(engine);
        let _ = writeln!(source, "pub const {}: &[(i64, &str, &str)] = &[", engine.to_uppercase());
        let entries = std::fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let mut files: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        files.sort();
        for file in files {
            let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let parts = name.strip_suffix(".sql").and_then(|name| name.split_once('_'));
            let number = parts.and_then(|(number, _)| number.parse::<i64>().ok());
            let (Some(number), Some((_, name))) = (number, parts) else {
                return Err(format!("{} is not named NUMBER_NAME.sql", file.display()));
            };
            let name = name.replace('_', " ");
            let _ =
                writeln!(source, "    ({number}, {name:?}, include_str!({:?})),", file.display().to_string());
        }
        source.push_str("];\n");
    }
    let file = out.join("migrations.rs");
    std::fs::write(&file, source).map_err(|error| format!("{}: {error}", file.display()))
}
