//! The page around the parts.

use super::{Clip, Figure, Film, Gallery, Image, Report, Slider, Table};
use base64::Engine;
use serde_json::json;
use std::fmt::Write;

const STYLE: &str = include_str!("report.css");
const SCRIPT: &str = include_str!("report.js");

/// Text made safe for contents and quoted attributes.
pub(super) fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}

pub(super) fn page(report: &Report) -> String {
    let mut body = String::new();
    let _ = write!(body, "<header><h1>{}</h1><p>{}</p></header>", escape(&report.title), escape(&report.subtitle));
    body += &figures(&report.figures);
    if !report.warnings.is_empty() {
        let items: String = report.warnings.iter().map(|w| format!("<li>{}</li>", escape(w))).collect();
        let _ = write!(body, "<section class=\"card warnings\"><h2>Warnings</h2><ul>{items}</ul></section>");
    }
    body += &sliders(&report.sliders);
    let charts: String = report.curves.iter().map(|c| c.to_html()).collect();
    if !charts.is_empty() {
        let _ = write!(body, "<section><h2>Curves</h2><div class=charts>{charts}</div></section>");
    }
    if !report.clips.is_empty() {
        let clips: String = report.clips.iter().map(clip).collect();
        let _ = write!(body, "<section><h2>Sounds</h2><div class=\"card clips\">{clips}</div></section>");
    }
    let films: String = report.films.iter().filter(|f| !f.frames.is_empty()).map(film).collect();
    if !films.is_empty() {
        let _ = write!(body, "<section><h2>Moving pictures</h2>{films}</section>");
    }
    if !report.galleries.is_empty() {
        let rows: String = report.galleries.iter().map(gallery).collect();
        let _ = write!(body, "<section><h2>Pictures</h2>{rows}</section>");
    }
    for t in report.tables.iter().filter(|t| !t.rows.is_empty()) {
        body += &table(t);
    }
    if !report.job.is_empty() {
        let _ = write!(
            body,
            "<section><details class=card><summary>Complete job</summary><pre>{}</pre></details></section>",
            escape(&report.job)
        );
    }
    let version = env!("CARGO_PKG_VERSION");
    format!(
        "<!doctype html>\n<html lang=en><head><meta charset=utf-8>\
         <meta name=viewport content=\"width=device-width,initial-scale=1\"><meta name=color-scheme content=\"light dark\">\
         <title>{}</title><style>{STYLE}</style></head>\n<body><main>{body}<footer>lumigrad {version}</footer></main>\
         <script>{SCRIPT}</script></body></html>\n",
        escape(&report.title)
    )
}

fn figures(figures: &[Figure]) -> String {
    if figures.is_empty() {
        return String::new();
    }
    let tile = |f: &Figure| {
        let note = if f.note.is_empty() { String::new() } else { format!("<small>{}</small>", escape(&f.note)) };
        format!(
            "<div class=\"card tile\"><span>{}</span><strong>{}</strong>{note}</div>",
            escape(&f.label),
            escape(&f.value)
        )
    };
    format!("<section class=tiles>{}</section>", figures.iter().map(tile).collect::<String>())
}

fn img(image: &Image, alt: &str) -> String {
    let pixelated = if image.width.max(image.height) < 128 { " class=pixels" } else { "" };
    let (w, h) = (image.width, image.height);
    format!("<img{pixelated} width={w} height={h} alt=\"{}\" src=\"{}\">", escape(alt), image.data_uri())
}

fn sliders(sliders: &[Slider]) -> String {
    let Some(first) = sliders.iter().find(|s| !s.states.is_empty()) else { return String::new() };
    let (w, h) = (first.states[0].1.width, first.states[0].1.height);
    let mut thumbs = String::new();
    let mut views = vec![];
    for slider in sliders.iter().filter(|s| !s.states.is_empty()) {
        let shown = &slider.states[slider.states.len().min(2) - 1];
        let _ = write!(
            thumbs,
            "<button title=\"{}\">{}<span>{}</span></button>",
            escape(&slider.name),
            img(&shown.1, &slider.name),
            escape(if slider.note.is_empty() { &slider.name } else { &slider.note })
        );
        let states: Vec<_> = slider.states.iter().map(|(name, i)| json!({"name": name, "src": i.data_uri()})).collect();
        views.push(json!({"name": slider.name, "note": slider.note, "states": states}));
    }
    // `<` never stands in the data, so that nothing in it can end the script element.
    let data = json!(views).to_string().replace('<', "\\u003c");
    format!(
        "<section><h2>Views</h2><div class=\"card compare\"><div class=left>\
         <div class=stage style=\"aspect-ratio:{w}/{h}\" tabindex=0 role=slider aria-label=\"compare\" aria-valuenow=50>\
         <img class=under alt=\"\"><img class=over alt=\"\"><i class=handle></i><b class=\"tag l\"></b><b class=\"tag r\"></b></div>\
         <div class=choose></div></div><div class=strip>{thumbs}</div>\
         <noscript>The comparison needs JavaScript; everything else on this page does not.</noscript>\
         <script type=\"application/json\">{data}</script></div></section>"
    )
}

fn clip(clip: &Clip) -> String {
    let data = base64::engine::general_purpose::STANDARD.encode(&clip.wav);
    format!(
        "<figure><figcaption>{}</figcaption><audio controls src=\"data:audio/wav;base64,{data}\"></audio></figure>",
        escape(&clip.name)
    )
}

fn film(film: &Film) -> String {
    let n = film.frames.len();
    let frames: String = film
        .frames
        .iter()
        .enumerate()
        .map(|(k, image)| {
            // Each is seen in its own part of the time; delays below 0 begin in the middle.
            let delay = film.seconds * (k as f64 / n as f64 - 1.0);
            let style = format!("animation:film{n} {:.3}s step-end {delay:.3}s infinite", film.seconds);
            format!("<i style=\"{style}\">{}</i>", img(image, &film.name))
        })
        .collect();
    let note = if film.note.is_empty() { String::new() } else { format!("<small>{}</small>", escape(&film.note)) };
    let until = 100.0 / n as f64;
    format!(
        "<style>@keyframes film{n}{{0%{{opacity:1}}{until:.4}%{{opacity:0}}}}</style>\
         <div class=\"card film\"><h3>{}{note}</h3><div>{frames}</div></div>",
        escape(&film.name)
    )
}

fn gallery(gallery: &Gallery) -> String {
    let note =
        if gallery.note.is_empty() { String::new() } else { format!("<small>{}</small>", escape(&gallery.note)) };
    let figure = |(name, image): &(String, Image)| {
        format!("<figure>{}<figcaption>{}</figcaption></figure>", img(image, name), escape(name))
    };
    let states: String = gallery.states.iter().map(figure).collect();
    format!(
        "<div class=\"card gallery\"><h3><code>{}</code>{note}</h3><div>{states}</div></div>",
        escape(&gallery.name)
    )
}

fn table(table: &Table) -> String {
    let is_number = |cell: &str| cell.chars().next().is_some_and(|c| c.is_ascii_digit() || "-+−".contains(c));
    let numeric = |column: usize| {
        let mut cells = table.rows.iter().filter_map(|r| r.get(column)).filter(|c| !c.is_empty()).peekable();
        cells.peek().is_some() && cells.all(|c| is_number(c))
    };
    let class: Vec<&str> = (0..table.columns.len()).map(|c| if numeric(c) { " class=n" } else { "" }).collect();
    let cells = |row: &[String], tag: &str| -> String {
        row.iter()
            .enumerate()
            .map(|(c, v)| format!("<{tag}{}>{}</{tag}>", class.get(c).unwrap_or(&""), escape(v)))
            .collect()
    };
    let rows: String = table.rows.iter().map(|r| format!("<tr>{}</tr>", cells(r, "td"))).collect();
    format!(
        "<section><h2>{}</h2><div class=\"card scroll\"><table><thead><tr>{}</tr></thead><tbody>{rows}</tbody></table></div></section>",
        escape(&table.title),
        cells(&table.columns, "th")
    )
}
