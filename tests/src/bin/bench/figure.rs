//! A measured figure: how it is judged, printed and written.
//!
//! A ratio is the median of the ratios of alternating pairs, because a shared machine drifts; its spread is the
//! least and the greatest of them.

use serde_json::{Value, json};

/// What the issue asks for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Target {
    /// No less.
    AtLeast(f64),
    /// No more.
    AtMost(f64),
    /// An aim that is reported, not held.
    AimAtLeast(f64),
}

/// One run of ours and one of the rival, one after the other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pair {
    /// Ours, per second.
    pub(crate) ours: f64,
    /// The rival's, per second.
    pub(crate) rival: f64,
}

/// A measured figure.
#[derive(Debug)]
pub(crate) struct Figure {
    name: String,
    unit: &'static str,
    value: f64,
    spread: (f64, f64),
    n: usize,
    target: Option<Target>,
    /// Medians of both sides and what the rival is.
    against: Option<(f64, f64, &'static str)>,
    notes: Vec<String>,
}

impl Figure {
    /// A ratio to a rival, in rows per second on both sides.
    pub(crate) fn ratio(
        name: impl Into<String>,
        rival: &'static str,
        pairs: &[Pair],
        target: Target,
    ) -> Figure {
        let ratios: Vec<f64> = pairs.iter().map(|pair| pair.ours / pair.rival).collect();
        let side = |side: fn(&Pair) -> f64| median(&pairs.iter().map(side).collect::<Vec<_>>());
        Figure {
            against: Some((side(|pair| pair.ours), side(|pair| pair.rival), rival)),
            ..Figure::of(name, "", &ratios, Some(target))
        }
    }

    /// A value measured once or several times.
    pub(crate) fn of(
        name: impl Into<String>,
        unit: &'static str,
        values: &[f64],
        target: Option<Target>,
    ) -> Figure {
        let least = values.iter().copied().fold(f64::INFINITY, f64::min);
        let greatest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let (value, spread) = (median(values), (least, greatest));
        Figure {
            name: name.into(),
            unit,
            value,
            spread,
            n: values.len(),
            target,
            against: None,
            notes: Vec::new(),
        }
    }

    /// Adds a remark.
    pub(crate) fn note(mut self, note: impl Into<String>) -> Figure {
        self.notes.push(note.into());
        self
    }

    fn verdict(&self) -> (String, &'static str) {
        let good = |good: bool| if good { "OK" } else { "BELOW" };
        match self.target {
            None => (String::new(), ""),
            Some(Target::AtLeast(least)) => (format!(">= {}", short(least)), good(self.value >= least)),
            Some(Target::AtMost(most)) => {
                (format!("<= {}", short(most)), if self.value <= most { "OK" } else { "ABOVE" })
            }
            Some(Target::AimAtLeast(aim)) => (format!("aim {}", short(aim)), good(self.value >= aim)),
        }
    }

    /// One line, and one for each remark.
    pub(crate) fn print(&self) {
        let (target, verdict) = self.verdict();
        let value = format!("{} {}", short(self.value), self.unit);
        let spread = match self.n {
            1 => String::new(),
            n => format!("({} - {}, n={n})", short(self.spread.0), short(self.spread.1)),
        };
        println!("{:<44} {value:<18} {spread:<26} {target:<12} {verdict}", self.name);
        if let Some((ours, rival, what)) = self.against {
            println!("    ours {} rows/s; {what}: {} rows/s", short(ours), short(rival));
        }
        for note in &self.notes {
            println!("    {note}");
        }
    }

    fn json(&self) -> Value {
        let (target, verdict) = self.verdict();
        let against =
            self.against.map(|(ours, rival, what)| json!({"ours": ours, "rival": rival, "is": what}));
        json!({
            "name": self.name, "value": self.value, "unit": self.unit, "n": self.n,
            "least": self.spread.0, "greatest": self.spread.1,
            "target": target, "verdict": verdict, "against": against, "notes": self.notes,
        })
    }
}

/// Everything as one JSON document.
pub(crate) fn json(machine: &[(String, String)], figures: &[Figure]) -> Value {
    let machine: serde_json::Map<String, Value> =
        machine.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
    json!({"machine": machine, "figures": figures.iter().map(Figure::json).collect::<Vec<_>>()})
}

/// The middle value, or the mean of the two middle ones; NaN of nothing.
pub(crate) fn median(values: &[f64]) -> f64 {
    let sorted = sorted(values);
    match (sorted.len(), sorted.len() / 2) {
        (0, _) => f64::NAN,
        (len, middle) if len % 2 == 1 => sorted[middle],
        (_, middle) => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}

/// The value that the given share (in hundredths) of all values does not exceed.
pub(crate) fn percentile(values: &[f64], hundredths: usize) -> f64 {
    let sorted = sorted(values);
    let at = (sorted.len() * hundredths).div_ceil(100).max(1) - 1;
    sorted.get(at).copied().unwrap_or(f64::NAN)
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

/// Three digits that matter, and thousands in groups.
fn short(value: f64) -> String {
    if value.abs() < 100.0 {
        return format!("{value:.2}");
    }
    let digits = format!("{value:.0}");
    let (sign, digits) = digits.strip_prefix('-').map_or(("", digits.as_str()), |rest| ("-", rest));
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    format!("{sign}{grouped}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_and_the_tail_are_found() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0]), 2.5);
        let hundred: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!((percentile(&hundred, 50), percentile(&hundred, 99)), (50.0, 99.0));
        assert_eq!(percentile(&[7.0], 99), 7.0);
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!(
            (short(0.456), short(1_234_567.8), short(999.0)),
            ("0.46".into(), "1,234,568".into(), "999".into())
        );
    }

    #[test]
    fn a_ratio_is_judged_by_its_median() {
        let pairs = [(1.0, 2.0), (9.0, 10.0), (5.0, 10.0)].map(|(ours, rival)| Pair { ours, rival });
        let figure = Figure::ratio("x", "y", &pairs, Target::AtLeast(0.5));
        assert_eq!((figure.value, figure.spread, figure.verdict().1), (0.5, (0.5, 0.9), "OK"));
    }
}
