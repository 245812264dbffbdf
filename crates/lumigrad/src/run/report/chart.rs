//! Curves as SVG with axes; the page's script adds what moves with the pointer.

use super::page::escape;
use std::fmt::Write;

/// A chart of one or several curves over a common axis.
#[derive(Clone, Debug, Default)]
pub struct Curve {
    /// What is drawn.
    pub title: String,
    /// Unit of the values; may be empty.
    pub unit: String,
    /// What the horizontal axis counts.
    pub x_label: String,
    /// Logarithmic values.
    pub log: bool,
    /// The curves.
    pub series: Vec<Series>,
}

/// One curve.
#[derive(Clone, Debug, Default)]
pub struct Series {
    /// Its name in the legend.
    pub name: String,
    /// Points in the order of x; those that are not finite are left out.
    pub points: Vec<(f64, f64)>,
}

const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 270.0;
const LEFT: f64 = 58.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 40.0;
/// Points drawn per curve at most; the screen shows no more.
const MAX_POINTS: usize = 600;

/// A number with few digits.
pub(super) fn short(x: f64) -> String {
    let a = x.abs();
    if a == 0.0 {
        "0".into()
    } else if !(1e-3..1e5).contains(&a) {
        let text = format!("{x:.1e}");
        text.replace(".0e", "e")
    } else {
        let digits = (3 - a.log10().floor() as i32).clamp(0, 6) as usize;
        let text = format!("{x:.digits$}");
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
    }
}

/// Round numbers that divide a range into about `n` parts.
fn linear_ticks(lo: f64, hi: f64, n: f64) -> Vec<f64> {
    let raw = (hi - lo) / n;
    let power = 10f64.powf(raw.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|m| m * power).into_iter().find(|s| *s >= raw).unwrap_or(raw);
    let first = (lo / step).ceil() as i64;
    let last = (hi / step + 1e-9).floor() as i64;
    (first..=last).map(|k| k as f64 * step).collect()
}

/// Powers of ten, with 2 and 5 between them where there are few.
fn log_ticks(lo: f64, hi: f64) -> Vec<f64> {
    let (a, b) = (lo.log10().floor() as i32, hi.log10().ceil() as i32);
    let within = |marks: &[f64]| -> Vec<f64> {
        let all = (a..=b).flat_map(|e| marks.iter().map(move |m| m * 10f64.powi(e)));
        all.filter(|t| *t >= lo * 0.999 && *t <= hi * 1.001).collect()
    };
    let decades = within(&[1.0]);
    let marks = if decades.len() >= 3 { decades } else { within(&[1.0, 2.0, 5.0]) };
    if marks.len() >= 2 { marks } else { linear_ticks(lo, hi, 4.0) }
}

fn thinned(points: &[(f64, f64)], log: bool) -> Vec<(f64, f64)> {
    let usable = |p: &&(f64, f64)| p.0.is_finite() && p.1.is_finite() && (!log || p.1 > 0.0);
    let all: Vec<(f64, f64)> = points.iter().filter(usable).copied().collect();
    let every = all.len().div_ceil(MAX_POINTS).max(1);
    let last = all.len().saturating_sub(1);
    all.into_iter().enumerate().filter(|(i, _)| i % every == 0 || *i == last).map(|(_, p)| p).collect()
}

impl Curve {
    /// The chart as a `<figure>`; empty where there is no point to draw.
    pub(super) fn to_html(&self) -> String {
        let series: Vec<Vec<(f64, f64)>> = self.series.iter().map(|s| thinned(&s.points, self.log)).collect();
        let all: Vec<(f64, f64)> = series.iter().flatten().copied().collect();
        if all.is_empty() {
            return String::new();
        }
        let range = |pick: fn(&(f64, f64)) -> f64| {
            let values = || all.iter().map(pick);
            (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max))
        };
        let ((x0, x1), (mut y0, mut y1)) = (range(|p| p.0), range(|p| p.1));
        let x1 = if x1 > x0 { x1 } else { x0 + 1.0 };
        if self.log {
            (y0, y1) = (y0 / 1.15, y1 * 1.15);
        } else {
            let margin = if y1 > y0 { 0.06 * (y1 - y0) } else { 0.5 * y0.abs().max(1e-6) };
            (y0, y1) = (y0 - margin, y1 + margin);
        }
        let (scale, log) = (|y: f64| if self.log { y.log10() } else { y }, self.log);
        let px = |x: f64| LEFT + (x - x0) / (x1 - x0) * (WIDTH - LEFT - RIGHT);
        let py = |y: f64| TOP + (scale(y1) - scale(y)) / (scale(y1) - scale(y0)) * (HEIGHT - TOP - BOTTOM);
        let mut svg = String::new();
        for t in if log { log_ticks(y0, y1) } else { linear_ticks(y0, y1, 4.0) } {
            let y = py(t);
            let _ = write!(
                svg,
                "<path class=grid d=\"M{LEFT} {y:.1}H{:.1}\"/><text x={:.1} y={:.1} text-anchor=end>{}</text>",
                WIDTH - RIGHT,
                LEFT - 8.0,
                y + 4.0,
                short(t)
            );
        }
        for t in linear_ticks(x0, x1, 6.0) {
            let _ = write!(
                svg,
                "<text x={:.1} y={:.1} text-anchor=middle>{}</text>",
                px(t),
                HEIGHT - BOTTOM + 18.0,
                short(t)
            );
        }
        let _ = write!(
            svg,
            "<path class=axis d=\"M{LEFT} {:.1}H{:.1}\"/><text class=label x={:.1} y={:.1} text-anchor=end>{}</text>",
            HEIGHT - BOTTOM,
            WIDTH - RIGHT,
            WIDTH - RIGHT,
            HEIGHT - 4.0,
            escape(&self.x_label)
        );
        let mut data = vec![];
        for (k, points) in series.iter().enumerate() {
            let path: Vec<String> = points.iter().map(|p| format!("{:.1} {:.1}", px(p.0), py(p.1))).collect();
            if points.len() > 1 {
                let floor = HEIGHT - BOTTOM;
                let (a, b) = (px(points[0].0), px(points[points.len() - 1].0));
                if k == 0 {
                    let _ = write!(svg, "<path class=area d=\"M{a:.1} {floor}L{}L{b:.1} {floor}Z\"/>", path.join("L"));
                }
                let _ = write!(svg, "<path class=\"line s{k}\" d=\"M{}\"/>", path.join("L"));
            }
            if points.len() < 16 {
                for p in points {
                    let _ = write!(svg, "<circle class=\"dot s{k}\" cx={:.1} cy={:.1} r=3 />", px(p.0), py(p.1));
                }
            }
            let rows: Vec<_> =
                points.iter().map(|p| serde_json::json!([px(p.0), py(p.1), short(p.0), short(p.1)])).collect();
            data.push(serde_json::json!({"name": self.series[k].name, "points": rows}));
        }
        let legend: String = match self.series.len() {
            0 | 1 => String::new(),
            _ => {
                let item = |(k, s): (usize, &Series)| format!("<span class=\"key s{k}\">{}</span>", escape(&s.name));
                self.series.iter().enumerate().map(item).collect()
            }
        };
        let unit = if self.unit.is_empty() { String::new() } else { format!(" <small>{}</small>", escape(&self.unit)) };
        let data = serde_json::json!({"unit": self.unit, "x": self.x_label, "top": TOP, "bottom": HEIGHT - BOTTOM, "series": data});
        format!(
            "<figure class=\"card chart\"><figcaption>{}{unit}{legend}</figcaption>\
             <svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=img aria-label=\"{}\" data-chart=\"{}\">{svg}<g class=hover></g></svg></figure>",
            escape(&self.title),
            escape(&self.title),
            escape(&data.to_string()),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_inside() {
        assert_eq!(linear_ticks(0.0, 100.0, 5.0), [0.0, 20.0, 40.0, 60.0, 80.0, 100.0]);
        assert_eq!(log_ticks(0.0009, 1.1), [0.001, 0.01, 0.1, 1.0]);
        assert_eq!(log_ticks(0.9, 12.0), [1.0, 2.0, 5.0, 10.0]);
        assert!(log_ticks(0.031, 0.033).len() >= 2);
    }

    #[test]
    fn numbers_are_short() {
        let cases =
            [(0.0, "0"), (32.5, "32.5"), (0.0312, "0.0312"), (1e-7, "1e-7"), (400.0, "400"), (123456.0, "1.2e5")];
        for (x, text) in cases {
            assert_eq!(short(x), text);
        }
    }

    #[test]
    fn charts_without_usable_points_are_empty() {
        let points = vec![(0.0, -1.0), (1.0, f64::NAN)];
        let chart = Curve { log: true, series: vec![Series { name: "a".into(), points }], ..Curve::default() };
        assert_eq!(chart.to_html(), "");
        let points = vec![(5.0, 2.0)];
        let chart = Curve { series: vec![Series { name: "a".into(), points }], ..Curve::default() };
        assert!(chart.to_html().contains("circle") && !chart.to_html().contains("NaN"));
    }
}
