//! A plot of power against false alarms, as the least ratio of a burst to the credential's own
//! peak is moved: an SVG file that needs nothing else.

use super::score::{Trial, Watched};
use serde::Serialize;
use std::collections::BTreeMap;

/// The ratios that are tried.
const RATIOS: [f64; 18] = [
    1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0, 30.0, 50.0, 100.0, 200.0, 500.0,
    1000.0,
];
/// Names and colours of what is drawn. Source of the colours: Okabe and Ito, 2008.
const DRAWN: [(&str, &str); 7] = [
    ("flood_10k_inside", "#0072b2"),
    ("step_x30_inside", "#d55e00"),
    ("step_x10_inside", "#009e73"),
    ("step_x3_inside", "#cc79a7"),
    ("ramp_10_min", "#e69f00"),
    ("pulses", "#56b4e9"),
    ("cron_x50", "#888888"),
];
const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 460.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = 220.0;
const TOP: f64 = 50.0;
const BOTTOM: f64 = 50.0;

/// One point of a curve.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Point {
    /// The least ratio.
    pub ratio: f64,
    /// Honest bursts with that ratio or more, per key-day.
    pub false_alarms_per_key_day: f64,
    /// The share of trials with that ratio or more, by name, within 60 s.
    pub within_60_s: BTreeMap<String, f64>,
    /// The same within 1 h.
    pub within_1_h: BTreeMap<String, f64>,
}

/// The curve of all trials.
pub fn curve(watched: &Watched, trials: &[Trial]) -> Vec<Point> {
    let mut by_name: BTreeMap<&str, Vec<&Trial>> = BTreeMap::new();
    for trial in trials {
        by_name.entry(&trial.scenario).or_default().push(trial);
    }
    let point = |ratio: f64| {
        let loud = watched.ratios.iter().filter(|found| **found >= ratio).count() as f64;
        let power = |horizon: usize| {
            let share = |trials: &Vec<&Trial>| {
                let reaches =
                    |t: &&&Trial| t.ratios.get(horizon).is_some_and(|found| *found >= ratio);
                trials.iter().filter(reaches).count() as f64 / trials.len().max(1) as f64
            };
            by_name.iter().map(|(name, trials)| ((*name).to_owned(), share(trials))).collect()
        };
        Point {
            ratio,
            false_alarms_per_key_day: loud / watched.key_days.max(f64::MIN_POSITIVE),
            within_60_s: power(0),
            within_1_h: power(2),
        }
    };
    RATIOS.map(point).into()
}

/// Draws the curve: power within 60 s and (dashed) within 1 h.
pub fn svg(points: &[Point], title: &str) -> String {
    let floor = lowest(points);
    let x = |rate: f64| {
        let share = (rate.max(floor).log10() - floor.log10()) / (1.0 - floor.log10());
        LEFT + share.clamp(0.0, 1.0) * (WIDTH - LEFT - RIGHT)
    };
    let y = |power: f64| HEIGHT - BOTTOM - power * (HEIGHT - TOP - BOTTOM);
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
         <text x=\"{LEFT}\" y=\"24\" font-size=\"15\">{}</text>\n",
        escaped(title)
    );
    axes(&mut text, floor, &x, &y);
    let drawn = DRAWN.iter().filter(|(name, _)| {
        points.first().is_some_and(|point| point.within_60_s.contains_key(*name))
    });
    for ((name, colour), row) in drawn.zip(0_i32..) {
        for (dashes, power) in [("", 60), (" stroke-dasharray=\"5 4\"", 3600)] {
            let line: Vec<String> = points
                .iter()
                .map(|point| {
                    let by = if power == 60 { &point.within_60_s } else { &point.within_1_h };
                    let power = by.get(*name).copied().unwrap_or(0.0);
                    format!("{:.1},{:.1}", x(point.false_alarms_per_key_day), y(power))
                })
                .collect();
            text.push_str(&format!(
                "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"{dashes} \
                 points=\"{}\"/>\n",
                line.join(" ")
            ));
        }
        let at = TOP + 10.0 + 20.0 * f64::from(row);
        let left = WIDTH - RIGHT + 16.0;
        text.push_str(&format!(
            "<rect x=\"{left}\" y=\"{:.0}\" width=\"14\" height=\"4\" fill=\"{colour}\"/>\
             <text x=\"{:.0}\" y=\"{at:.0}\">{name}</text>\n",
            at - 6.0,
            left + 20.0
        ));
    }
    text.push_str("</svg>\n");
    text
}

/// The power of ten below the least rate that is not 0; what is 0 is drawn there.
fn lowest(points: &[Point]) -> f64 {
    let rates = points.iter().map(|point| point.false_alarms_per_key_day);
    let least = rates.filter(|rate| *rate > 0.0).fold(0.1, f64::min);
    10.0_f64.powf((least.log10() - 0.001).floor())
}

fn axes(text: &mut String, floor: f64, x: &impl Fn(f64) -> f64, y: &impl Fn(f64) -> f64) {
    let (bottom, right) = (HEIGHT - BOTTOM, WIDTH - RIGHT);
    let mut rate = floor;
    while rate <= 10.5 {
        let at = x(rate);
        let label = if rate < 0.05 { format!("{rate:.0e}") } else { format!("{rate}") };
        text.push_str(&format!(
            "<line x1=\"{at:.1}\" y1=\"{TOP}\" x2=\"{at:.1}\" y2=\"{bottom}\" stroke=\"#ddd\"/>\
             <text x=\"{at:.1}\" y=\"{:.0}\" text-anchor=\"middle\">{label}</text>\n",
            bottom + 16.0
        ));
        rate *= 10.0;
    }
    for percent in [0_i32, 25, 50, 75, 100] {
        let at = y(f64::from(percent) / 100.0);
        text.push_str(&format!(
            "<line x1=\"{LEFT}\" y1=\"{at:.1}\" x2=\"{right}\" y2=\"{at:.1}\" stroke=\"#ddd\"/>\
             <text x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\">{percent} %</text>\n",
            LEFT - 6.0,
            at + 4.0
        ));
    }
    text.push_str(&format!(
        "<text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"middle\">false alarms per key-day; found \
         within 60 s (line), 1 h (dashes)</text>\n",
        f64::midpoint(LEFT, right),
        HEIGHT - 12.0
    ));
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::{curve, svg};
    use crate::sim::score::{Trial, Watched};

    #[test]
    fn a_higher_threshold_costs_power_and_saves_alarms() {
        let watched =
            Watched { key_days: 10.0, ratios: vec![1.3, 4.0, 40.0], ..Watched::default() };
        let trial = |ratio: f64| Trial {
            scenario: "flood_10k_inside".to_owned(),
            ratios: [ratio, ratio, 2.0 * ratio],
            ..Trial::default()
        };
        let points = curve(&watched, &[trial(3.0), trial(30.0)]);
        assert!((points[0].false_alarms_per_key_day - 0.3).abs() < 1e-12);
        assert!((points[0].within_60_s["flood_10k_inside"] - 1.0).abs() < 1e-12);
        let at_5 = points.iter().find(|point| point.ratio > 4.9).expect("5");
        assert!((at_5.false_alarms_per_key_day - 0.1).abs() < 1e-12);
        assert!((at_5.within_60_s["flood_10k_inside"] - 0.5).abs() < 1e-12);
        assert!((at_5.within_1_h["flood_10k_inside"] - 1.0).abs() < 1e-12);
        let text = svg(&points, "a < b");
        assert!(text.contains("<polyline") && text.contains("a &lt; b"));
    }
}
