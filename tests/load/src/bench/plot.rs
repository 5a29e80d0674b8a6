//! Bars as SVG: both databases side by side, the floor as a line across each pair, the goal
//! as a dashed one.

use std::fmt::Write;
use std::path::Path;

use anyhow::Context;

use super::figure::{Figure, Goal, number};

/// A plot: its file, its title, its unit, and the figures it shows with their short names.
struct Plot {
    file: &'static str,
    title: &'static str,
    axis: &'static str,
    /// What the line across a bar is; empty where there is none.
    floor: &'static str,
    groups: &'static [(&'static str, &'static str)],
}

const PLOTS: [Plot; 5] = [
    Plot {
        file: "performance-beats.svg",
        title: "Heartbeats and empty polls",
        axis: "requests a second",
        floor: "floor: the same bytes, no logic",
        groups: &[
            ("heartbeats over HTTP", "heartbeat, HTTP"),
            ("heartbeats over WebSocket", "heartbeat, WebSocket"),
            ("empty polls", "empty poll"),
        ],
    },
    Plot {
        file: "performance-claims.svg",
        title: "Claims, with three plugins",
        axis: "tasks a second",
        floor: "floor: bare SQL, 32 a commit",
        groups: &[("claims", "one task a request, 32 runtimes")],
    },
    Plot {
        file: "performance-lives.svg",
        title: "Whole lives of tasks",
        axis: "tasks a second",
        floor: "",
        groups: &[("whole lives", "claim, start, two messages, usage, complete")],
    },
    Plot {
        file: "performance-latency.svg",
        title: "How long a daemon waits",
        axis: "milliseconds",
        floor: "",
        groups: &[
            ("enqueue to hold, p50", "enqueue to hold, p50"),
            ("enqueue to hold, p99", "enqueue to hold, p99"),
            ("claims at half of that rate: p99", "claim at half rate, p99"),
        ],
    },
    Plot {
        file: "performance-growth.svg",
        title: "A claim beside 1,000,000 ended and 100,000 blocked tasks",
        axis: "microseconds of the machine",
        floor: "in an empty database",
        groups: &[("claim beside a long history", "claim")],
    },
];

/// In pixels.
const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 400.0;
const LEFT: f64 = 84.0;
const RIGHT: f64 = 24.0;
const TOP: f64 = 84.0;
const BOTTOM: f64 = 48.0;
/// The widest a bar gets.
const BAR: f64 = 72.0;

const SERIES: [(&str, &str, &str); 2] =
    [("sqlite", "SQLite", "#2f6f9f"), ("postgres", "PostgreSQL", "#d98032")];

/// Writes the plots whose figures are there.
pub fn write(folder: &Path, figures: &[Figure]) -> anyhow::Result<()> {
    for plot in &PLOTS {
        if let Some(svg) = draw(plot, figures) {
            let file = folder.join(plot.file);
            std::fs::write(&file, svg).with_context(|| format!("{} cannot be written", file.display()))?;
        }
    }
    Ok(())
}

fn draw(plot: &Plot, figures: &[Figure]) -> Option<String> {
    let find = |name: &str, engine: &str| {
        figures.iter().find(|figure| figure.name == name && figure.engine == engine)
    };
    let shown = || {
        let pairs = plot.groups.iter().flat_map(|(name, _)| SERIES.map(|(engine, ..)| (*name, engine)));
        pairs.filter_map(|(name, engine)| find(name, engine))
    };
    shown().next()?;
    let highest =
        shown().flat_map(|figure| [Some(figure.value), figure.floor, line_of_goal(figure)]).flatten();
    let top = round_up(highest.fold(0.0, f64::max));
    let y = |value: f64| TOP + (HEIGHT - TOP - BOTTOM) * (1.0 - value / top);
    let mut svg = head(plot, top, &y);
    #[expect(clippy::cast_precision_loss, reason = "a handful of groups")]
    let (count, place_of) = (plot.groups.len() as f64, |place: usize| place as f64);
    let room = (WIDTH - LEFT - RIGHT) / count;
    let bar = (room / 3.2).min(BAR);
    for (place, (name, short)) in plot.groups.iter().enumerate() {
        let middle = LEFT + room * (place_of(place) + 0.5);
        text(&mut svg, middle, HEIGHT - 20.0, "middle", 13, "#222", short);
        for (side, (engine, _, colour)) in SERIES.iter().enumerate() {
            let Some(figure) = find(name, engine) else { continue };
            let x = middle + bar * 1.1 * (place_of(side) - 1.0) + bar * 0.05;
            let (from, height) = (y(figure.value), HEIGHT - BOTTOM - y(figure.value));
            let _ = writeln!(
                svg,
                r#"<rect x="{x:.1}" y="{from:.1}" width="{bar:.1}" height="{height:.1}" fill="{colour}"/>"#
            );
            for (value, style) in [
                (figure.floor, r##"stroke="#222" stroke-width="2.5""##),
                (line_of_goal(figure), r##"stroke="#b3261e" stroke-width="2" stroke-dasharray="5 3""##),
            ] {
                let Some(value) = value else { continue };
                let (x1, x2, at) = (x - 4.0, x + bar + 4.0, y(value));
                let _ =
                    writeln!(svg, r#"<line x1="{x1:.1}" x2="{x2:.1}" y1="{at:.1}" y2="{at:.1}" {style}/>"#);
            }
            let centre = x + bar / 2.0;
            text(&mut svg, centre, from - 6.0, "middle", 12, "#222", &number(figure.value));
        }
    }
    svg.push_str("</svg>\n");
    Some(svg)
}

/// Title, legend, axis and grid.
fn head(plot: &Plot, top: f64, y: &impl Fn(f64) -> f64) -> String {
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" \
         font-family=\"system-ui, sans-serif\" role=\"img\">\n<title>{}</title>\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#fff\"/>\n",
        plot.title
    );
    text(&mut svg, LEFT, 28.0, "start", 17, "#111", plot.title);
    let mut x = LEFT;
    for (_, name, colour) in SERIES {
        let _ = writeln!(svg, r#"<rect x="{x}" y="44" width="14" height="14" fill="{colour}"/>"#);
        text(&mut svg, x + 20.0, 56.0, "start", 12, "#222", name);
        x += 110.0;
    }
    let lines = [
        ("goal", r##"stroke="#b3261e" stroke-width="2" stroke-dasharray="5 3""##),
        (plot.floor, r##"stroke="#222" stroke-width="2.5""##),
    ];
    for (name, style) in lines.into_iter().filter(|(name, _)| !name.is_empty()) {
        let _ = writeln!(svg, r#"<line x1="{x}" x2="{}" y1="51" y2="51" {style}/>"#, x + 22.0);
        text(&mut svg, x + 28.0, 56.0, "start", 12, "#222", name);
        x += 90.0;
    }
    for step in 0..=5 {
        let value = top * f64::from(step) / 5.0;
        let at = y(value);
        let colour = if step == 0 { "#222" } else { "#ddd" };
        let _ = writeln!(
            svg,
            r#"<line x1="{LEFT}" x2="{}" y1="{at:.1}" y2="{at:.1}" stroke="{colour}"/>"#,
            WIDTH - RIGHT
        );
        text(&mut svg, LEFT - 8.0, at + 4.0, "end", 11, "#444", &number(value));
    }
    let middle = f64::midpoint(TOP, HEIGHT - BOTTOM);
    let _ = writeln!(
        svg,
        r##"<text x="20" y="{middle}" transform="rotate(-90 20 {middle})" text-anchor="middle" font-size="12" fill="#444">{}</text>"##,
        plot.axis
    );
    svg
}

fn text(svg: &mut String, x: f64, y: f64, anchor: &str, size: u32, colour: &str, text: &str) {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    let _ = writeln!(
        svg,
        r##"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}" font-size="{size}" fill="{colour}" stroke="#fff" stroke-width="4" paint-order="stroke">{text}</text>"##
    );
}

/// Where on the axis the goal lies.
fn line_of_goal(figure: &Figure) -> Option<f64> {
    match figure.goal? {
        Goal::AtLeast(value) | Goal::AtMost(value) => Some(value),
        Goal::RatioAtLeast(ratio) | Goal::RatioAtMost(ratio) => figure.floor.map(|floor| floor * ratio),
    }
}

/// The next of 1, 2, 2.5, 4, 5 or 8 times a power of ten, with some room.
fn round_up(value: f64) -> f64 {
    let wanted = (value * 1.05).max(f64::MIN_POSITIVE);
    let power = 10_f64.powf(wanted.log10().floor());
    let steps = [1.0, 2.0, 2.5, 4.0, 5.0, 8.0, 10.0];
    steps.into_iter().map(|step| step * power).find(|step| *step >= wanted).unwrap_or(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plot_shows_both_databases_the_floor_and_the_goal() {
        let figure = |engine, value| {
            Figure::new("claims", engine, value, "/s").beside(9000.0).goal(Goal::AtLeast(3000.0))
        };
        let svg = draw(&PLOTS[1], &[figure("sqlite", 3100.0), figure("postgres", 12.0)]).unwrap();
        assert_eq!(svg.matches("<rect").count(), 1 + 2 + 2, "background, legend, bars");
        assert_eq!(svg.matches("stroke-dasharray").count(), 1 + 2, "legend, a goal for each");
        assert!(svg.contains(">3,100<") && svg.contains(">12<") && svg.contains(">10,000<"));
        assert!(draw(&PLOTS[0], &[]).is_none());
    }
}
