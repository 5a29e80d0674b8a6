//! How many statements a server sent to its database, if it counts them where Prometheus
//! looks.

use hyper::Method;

use crate::connection::{Connection, Target};

/// Where to look, and for what.
#[derive(Clone, Debug)]
pub struct Counter {
    pub target: Target,
    pub path: String,
    pub metric: String,
}

impl Counter {
    /// `None` when the server does not say.
    pub async fn read(&self) -> Option<f64> {
        let answer = Connection::new(&self.target).send(Method::GET, &self.path, b"").await.ok()?;
        if answer.status != 200 {
            return None;
        }
        total(std::str::from_utf8(&answer.body).ok()?, &self.metric)
    }
}

/// The sum over all series of a metric; `None` when there are none.
fn total(text: &str, metric: &str) -> Option<f64> {
    let series = text.lines().filter_map(|line| {
        let rest = line.strip_prefix(metric)?;
        if !rest.starts_with(['{', ' ']) {
            return None;
        }
        rest.rsplit_once(' ')?.1.parse::<f64>().ok()
    });
    series.fold(None, |sum, value| Some(sum.unwrap_or(0.0) + value))
}

#[cfg(test)]
mod tests {
    use super::total;

    #[test]
    fn series_are_summed_and_other_metrics_passed_over() {
        let text = "# TYPE a counter\na{x=\"1 2\"} 3\na 4\nab 100\n";
        assert_eq!(total(text, "a"), Some(7.0));
        assert_eq!(total(text, "c"), None);
    }
}
