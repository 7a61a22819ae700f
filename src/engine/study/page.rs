//! A study as one page that opens without a network: what each condition changes, how sure that is, and what was published.

use super::cells::Cell;
use super::contrast::{Contrast, Shift, findings, p_value};
use crate::analysis::statistics::{Draws, wilson};
use crate::data::published::{PublishedRow, TABLE, TASKS};

/// Text as HTML shows it: names are whatever a data file says.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

const STYLE: &str = "
:root { color-scheme: light dark; --text: #1b1e24; --weak: #5d6571; --line: #d5d9e0; --ground: #ffffff; --worse: #b3261e; --better: #1a7f37; --mark: #3b6fb6 }
@media (prefers-color-scheme: dark) { :root { --text: #e6e8ec; --weak: #9aa3b0; --line: #3a4049; --ground: #16181d; --worse: #ff8a80; --better: #6fdd8b; --mark: #7fb0ff } }
body { font: 15px/1.45 system-ui, sans-serif; color: var(--text); background: var(--ground); margin: 2rem auto; max-width: 96rem; padding: 0 1rem }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums } th, td { text-align: right; padding: .25rem .6rem; border-bottom: 1px solid var(--line); white-space: nowrap }
th:first-child, td:first-child { text-align: left; white-space: normal } th { color: var(--weak); font-weight: 600 }
.weak { color: var(--weak) } .worse { color: var(--worse) } .better { color: var(--better) } code { font-size: .92em } figure { margin: 1.5rem 0; overflow-x: auto } .wide { overflow-x: auto }
figure svg { background: #ffffff; max-width: 100%; height: auto }
";

/// The page. `chart` is the accuracy by condition, as SVG.
pub fn page(cells: &[Cell], conditions: &[Contrast], chart: &str, draws: Draws) -> String {
    let samples = cells.iter().map(|cell| cell.predictions.len()).max().unwrap_or(0);
    let mut seeds: Vec<u64> = cells.iter().map(|cell| cell.condition.condition.decoding.seed).collect();
    seeds.sort_unstable();
    seeds.dedup();
    let seeds: Vec<String> = seeds.iter().map(ToString::to_string).collect();
    let said = escaped(&format!(
        "{samples} samples; seed {}; livr {}; {} draws for each bootstrap interval (seed {})",
        seeds.join(", "),
        env!("CARGO_PKG_VERSION"),
        draws.count,
        draws.seed
    ));
    let found = findings(conditions);
    let found: Vec<String> =
        found.lines().map(|line| format!("<li>{}</li>\n", escaped(line.trim_start_matches("- ")))).collect();
    let conditions_said = if conditions.is_empty() {
        String::new()
    } else {
        format!(
            "<h2>Findings</h2>\n<ul>\n{}</ul>\n<h2>Conditions beside their base</h2>\n{}{NOTES}",
            found.concat(),
            table(conditions)
        )
    };
    let chart = chart.find("<svg").map_or("", |start| &chart[start..]);
    [
        format!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
             content=\"width=device-width\"><title>What the latents cause</title><style>{STYLE}</style></head><body>\n<h1>What \
             the latents cause</h1>\n<p class=\"weak\">{said}</p>\n<details><summary>The command that makes it again</summary><p><code>{}</code></p></details>\n",
            escaped(&command(cells))
        ),
        conditions_said,
        format!(
            "<h2>Accuracy by condition</h2>\n<figure>{chart}<figcaption class=\"weak\">{said}. 95 % intervals \
             (Wilson).</figcaption></figure>\n"
        ),
        flips(conditions),
        published(),
        "</body></html>\n".to_owned(),
    ]
    .concat()
}

const NOTES: &str = "<p class=\"weak\">Differences are over the samples that both conditions have, in points, with Newcombe's \
interval (method 10) and one by samples drawn again; p is of the exact McNemar test, two-sided, corrected by Holm over the conditions of a \
model. The margin is the log-probability of the right choice less that of the best other. A sham is the same edit, done with what was \
there: it must give the scores without edits to the bit.</p>\n";

/// Names that a command would take, in the words of a shell.
fn command(cells: &[Cell]) -> String {
    let mut words = vec!["livr battery --data DATA --out OUT --set paper".to_owned()];
    let (mut models, mut conditions): (Vec<&str>, Vec<&str>) = (Vec::new(), Vec::new());
    let shams = cells.iter().any(|cell| cell.condition.condition.sham);
    for cell in cells.iter().filter(|cell| !cell.condition.condition.sham) {
        if !models.contains(&cell.adapter.as_str()) {
            models.push(&cell.adapter);
        }
        if !conditions.contains(&cell.condition.name.as_str()) {
            conditions.push(&cell.condition.name);
        }
    }
    words.push("--adapters".to_owned());
    words.extend(models.iter().map(|name| format!("{name}=ADAPTER")));
    let paper = ["normal", "no-latents", "bottleneck", "bottleneck-no-latents"];
    for name in conditions.iter().filter(|name| !paper.contains(name)) {
        let quoted = shlex::try_quote(name).map(std::borrow::Cow::into_owned).unwrap_or_default();
        words.push(format!("--condition {quoted}"));
    }
    if shams {
        words.push("--sham".to_owned());
    }
    words.join(" ")
}

fn points(share: f64) -> String {
    format!("{:+.1}", 100.0 * share)
}

fn interval(own: Option<[f64; 2]>) -> String {
    own.map_or("–".to_owned(), |[low, high]| format!("{} to {}", points(low), points(high)))
}

fn shift(own: Option<Shift>) -> String {
    own.map_or("–".to_owned(), |own| {
        let ends = own.interval.map_or(String::new(), |[low, high]| format!(" [{low:+.2}, {high:+.2}]"));
        format!("{:+.2}{ends}", own.mean)
    })
}

/// The difference with its interval, on a line from -50 to 50 points.
fn whisker(own: &Contrast) -> String {
    let (Some(difference), Some([low, high])) = (own.difference, own.newcombe) else { return String::new() };
    let x = |share: f64| (60.0 + 116.0 * share).clamp(2.0, 118.0);
    format!(
        "<svg width=\"120\" height=\"14\" role=\"img\" aria-label=\"{} points\"><line x1=\"60\" x2=\"60\" y1=\"0\" y2=\"14\" \
         stroke=\"var(--line)\"/><line x1=\"{:.1}\" x2=\"{:.1}\" y1=\"7\" y2=\"7\" stroke=\"var(--mark)\" \
         stroke-width=\"2\"/><circle cx=\"{:.1}\" cy=\"7\" r=\"3.5\" fill=\"var(--mark)\"/></svg>",
        points(difference),
        x(low),
        x(high),
        x(difference)
    )
}

/// Cells of a row, in an element each.
fn row(element: &str, cells: &[String]) -> String {
    let cells: Vec<String> = cells.iter().map(|cell| format!("<{element}>{cell}</{element}>")).collect();
    format!("<tr>{}</tr>\n", cells.concat())
}

fn table_of(heads: &[String], rows: &[String]) -> String {
    format!(
        "<div class=\"wide\"><table><thead>{}</thead><tbody>\n{}</tbody></table></div>\n",
        row("th", heads),
        rows.concat()
    )
}

fn table(conditions: &[Contrast]) -> String {
    let heads = [
        "condition",
        "n",
        "accuracy, %",
        "points",
        "",
        "Newcombe 95 %",
        "bootstrap 95 %",
        "p (Holm)",
        "lost",
        "gained",
        "margin, nats",
        "of those right before",
        "changed",
        "sham",
        "no choice named",
    ];
    let rows: Vec<String> = conditions.iter().map(|own| row("td", &condition_cells(own))).collect();
    table_of(&heads.map(str::to_owned), &rows)
}

fn condition_cells(own: &Contrast) -> [String; 15] {
    let is_finding = own.holm_p <= 0.05 && own.warnings.iter().all(|own| !own.voids());
    let class = match own.difference {
        Some(difference) if is_finding && difference < 0.0 => "worse",
        Some(difference) if is_finding && difference > 0.0 => "better",
        _ => "",
    };
    let changed: usize = own.changed.iter().map(|own| own.samples).max().unwrap_or(0);
    let changed =
        if own.changed.is_empty() { String::new() } else { format!("in {changed} of {}", own.all.samples) };
    let warnings: Vec<&str> = own.warnings.iter().map(|own| own.says()).collect();
    let warnings = if warnings.is_empty() {
        String::new()
    } else {
        format!("<br><span class=\"weak\">{}</span>", escaped(&warnings.join("; ")))
    };
    let [low, high] = own.all.interval.map(|end| 100.0 * end);
    [
        format!("{} <code>{}</code>{warnings}", escaped(&own.model), escaped(&own.name)),
        own.all.samples.to_string(),
        format!("{:.1} [{low:.1}, {high:.1}]", 100.0 * own.all.accuracy),
        format!("<span class=\"{class}\">{}</span>", own.difference.map_or("–".to_owned(), points)),
        whisker(own),
        interval(own.newcombe),
        interval(own.bootstrap),
        p_value(own.holm_p),
        own.lost.len().to_string(),
        own.gained.len().to_string(),
        shift(own.delta_margin),
        shift(own.delta_margin_of_right),
        changed,
        own.sham.map_or("not asked", |sham| if sham { "✔" } else { "failed" }).to_owned(),
        own.parse_failures.to_string(),
    ]
}

fn flips(conditions: &[Contrast]) -> String {
    let list = |ids: &[String]| {
        let ids: Vec<String> = ids.iter().map(|id| format!("<code>{}</code>", escaped(id))).collect();
        if ids.is_empty() { "none".to_owned() } else { ids.join(", ") }
    };
    let one = |own: &Contrast| {
        format!(
            "<details><summary>{} <code>{}</code>: {} lost, {} gained</summary><p>Lost: {}</p><p>Gained: {}</p></details>\n",
            escaped(&own.model),
            escaped(&own.name),
            own.lost.len(),
            own.gained.len(),
            list(&own.lost),
            list(&own.gained)
        )
    };
    let flipped = conditions.iter().filter(|own| own.lost.len() + own.gained.len() > 0);
    let all: Vec<String> = flipped.map(one).collect();
    if all.is_empty() { String::new() } else { format!("<h2>Samples that flip</h2>\n{}", all.concat()) }
}

const PUBLISHED: &str = "<h2>What the paper reports</h2>\n<p class=\"weak\">LIVR (arXiv 2512.21218), version 2, Table 1: other \
models on other data, one run each; right answers of all, with 95 % intervals (Wilson) of unpaired shares. Of its 27 pairs of LIVR and \
SFT, three differ beyond chance.</p>\n";

/// The paper's table as counts with intervals: other models, other data.
fn published() -> String {
    let tasks = TASKS.iter().map(|(task, _)| task.replace('_', " "));
    let heads: Vec<String> = std::iter::once("model".to_owned()).chain(tasks).collect();
    let cell = |((_, count), percent): (&(&str, u32), f64)| {
        let right = (percent * f64::from(*count) / 100.0).round() as usize;
        let [low, high] = wilson(right, *count as usize).map(|end| 100.0 * end);
        format!("{right}/{count}<br><span class=\"weak\">{low:.0} to {high:.0} %</span>")
    };
    let one = |own: &PublishedRow| {
        let cells = TASKS.iter().zip(own.percent).map(cell);
        row("td", &std::iter::once(escaped(own.name)).chain(cells).collect::<Vec<_>>())
    };
    PUBLISHED.to_owned() + &table_of(&heads, &TABLE.iter().map(one).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_quoted_is_escaped_and_nothing_is_fetched() {
        assert_eq!(escaped("<a href='x'>&\"</a>"), "&lt;a href=&#39;x&#39;&gt;&amp;&quot;&lt;/a&gt;");
        let page = page(&[], &[], "<?xml version=\"1.0\"?><svg></svg>", Draws::default());
        assert!(page.contains("<svg></svg>") && page.contains("98/150"), "{page}");
        for outside in ["http://", "https://", "src=", "@import", "<script"] {
            assert!(!page.contains(outside), "{outside}");
        }
    }
}
