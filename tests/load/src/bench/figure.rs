//! A measured figure beside its floor and its goal, and how figures become JSON and a table.

use std::fmt::Write;

use serde::Serialize;

/// What a figure should reach.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Goal {
    AtLeast(f64),
    AtMost(f64),
    /// The same, of the ratio to the floor.
    RatioAtLeast(f64),
    RatioAtMost(f64),
}

#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Figure {
    pub name: String,
    /// `sqlite`, `postgres`, or `none` where there is no database.
    pub engine: &'static str,
    pub value: f64,
    pub unit: &'static str,
    /// What the same machine did at best in the same run.
    pub floor: Option<f64>,
    /// The value to the floor; the median over rounds, each with a floor of its own.
    pub ratio: Option<f64>,
    pub goal: Option<Goal>,
}

impl Goal {
    fn text(self) -> String {
        match self {
            Self::AtLeast(value) => format!("≥ {}", number(value)),
            Self::AtMost(value) => format!("≤ {}", number(value)),
            Self::RatioAtLeast(ratio) => format!("≥ {} × the floor", number(ratio)),
            Self::RatioAtMost(ratio) => format!("≤ {} × the floor", number(ratio)),
        }
    }
}

impl Serialize for Goal {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.text())
    }
}

impl Figure {
    pub fn new(name: &str, engine: &'static str, value: f64, unit: &'static str) -> Self {
        Self { name: name.to_owned(), engine, value, unit, floor: None, ratio: None, goal: None }
    }

    pub fn goal(mut self, goal: Goal) -> Self {
        self.goal = Some(goal);
        self
    }

    /// Puts a floor beside it that was measured once.
    pub fn beside(mut self, floor: f64) -> Self {
        self.floor = Some(floor);
        self.ratio = (floor > 0.0).then(|| self.value / floor);
        self
    }

    /// Whether the goal is reached; `None` without one.
    pub fn reached(&self) -> Option<bool> {
        Some(match self.goal? {
            Goal::AtLeast(least) => self.value >= least,
            Goal::AtMost(most) => self.value <= most,
            Goal::RatioAtLeast(least) => self.ratio? >= least,
            Goal::RatioAtMost(most) => self.ratio? <= most,
        })
    }
}

/// A figure from rounds of (value, floor): medians, so that one bad moment of a shared
/// machine does not decide.
pub fn from_rounds(name: &str, engine: &'static str, unit: &'static str, rounds: &[(f64, f64)]) -> Figure {
    let mut figure = Figure::new(name, engine, median(rounds.iter().map(|(value, _)| *value)), unit);
    figure.floor = Some(median(rounds.iter().map(|(_, floor)| *floor)));
    figure.ratio = Some(median(rounds.iter().map(|(value, floor)| value / floor.max(f64::MIN_POSITIVE))));
    figure
}

pub fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => 0.0,
        count if count % 2 == 1 => values[count / 2],
        count => f64::midpoint(values[count / 2 - 1], values[count / 2]),
    }
}

/// A table for people, in Markdown.
pub fn table(figures: &[Figure]) -> String {
    let mut text = String::from(
        "| figure | database | value | unit | floor | ratio | goal | reached |\n| --- | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    let dash = || "–".to_owned();
    for figure in figures {
        let reached = match figure.reached() {
            Some(true) => "yes".to_owned(),
            Some(false) => "**no**".to_owned(),
            None => dash(),
        };
        let engine = match figure.engine {
            "sqlite" => "SQLite",
            "postgres" => "PostgreSQL",
            _ => "–",
        };
        let _ = writeln!(
            text,
            "| {} | {engine} | {} | {} | {} | {} | {} | {reached} |",
            figure.name,
            number(figure.value),
            figure.unit,
            figure.floor.map_or_else(dash, number),
            figure.ratio.map_or_else(dash, |ratio| format!("{ratio:.2}")),
            figure.goal.map_or_else(dash, Goal::text),
        );
    }
    text
}

/// As few digits as tell something.
pub fn number(value: f64) -> String {
    let text = match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    };
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut grouped = String::new();
    for (place, digit) in whole.chars().enumerate() {
        let left = whole.len() - place;
        if place > 0 && left.is_multiple_of(3) && digit.is_ascii_digit() && !grouped.ends_with('-') {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        let read = [(1_234_567.4, "1,234,567"), (123.0, "123"), (45.67, "45.7"), (0.8, "0.8"), (3.0, "3")];
        for (value, text) in read {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn one_bad_round_does_not_decide() {
        let figure = from_rounds("x", "sqlite", "/s", &[(90.0, 100.0), (10.0, 100.0), (95.0, 100.0)]);
        assert_eq!((figure.value, figure.ratio), (90.0, Some(0.9)));
        let reached = |goal| figure.clone().goal(goal).reached();
        assert_eq!(reached(Goal::RatioAtLeast(0.8)), Some(true));
        assert_eq!(reached(Goal::AtLeast(91.0)), Some(false));
        assert_eq!(reached(Goal::RatioAtMost(0.5)), Some(false));
    }

    #[test]
    fn the_table_has_a_row_a_figure() {
        let figure = Figure::new("claims", "sqlite", 2500.0, "/s").beside(5000.0).goal(Goal::AtLeast(3000.0));
        let row = "| claims | SQLite | 2,500 | /s | 5,000 | 0.50 | ≥ 3,000 | **no** |";
        assert!(table(&[figure]).contains(row));
    }
}
