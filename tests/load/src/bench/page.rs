//! Puts the table into a page, between two markers.

use std::path::Path;

use anyhow::Context;

use super::figure::{Figure, table};

const BEGIN: &str = "<!-- bench: what follows is written by `make bench` -->";
const END: &str = "<!-- bench: end -->";

pub fn write(file: &Path, figures: &[Figure]) -> anyhow::Result<()> {
    let page = std::fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))?;
    let page = with(&page, &table(figures))
        .with_context(|| format!("{} lacks the lines `{BEGIN}` and `{END}`", file.display()))?;
    std::fs::write(file, page).with_context(|| format!("{} cannot be written", file.display()))
}

fn with(page: &str, table: &str) -> Option<String> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n\n{table}\n{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_between_the_markers_is_replaced_and_nothing_else() {
        let page = format!("# A\n{BEGIN}\nold\n{END}\nlast\n");
        let once = with(&page, "| new |\n").unwrap();
        assert_eq!(once, format!("# A\n{BEGIN}\n\n| new |\n\n{END}\nlast\n"));
        assert_eq!(with(&once, "| new |\n").unwrap(), once);
        assert!(with("# A\n", "x").is_none());
    }
}
