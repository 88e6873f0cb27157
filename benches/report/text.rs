//! The report: what was measured where, and a table for each group.

use crate::groups::{GROUPS, Group, Unit};
use crate::results::{Results, Row};

const HEAD: &str = "\
# Benchmarks

What sedge costs, beside what people use today, all taken in one run. Written by a program; to
take the figures again, run the command below. Every row that was measured is here.

";

const READING: &str = "
A figure is the median of criterion's samples. *Times the limit* is against the same without a
runtime, named in bold; for a switch that is one bare coroutine, resumed and suspended. *Times
sedge* is what the peer costs where sedge costs 1, so below 1 the peer is cheaper than sedge. What a
peer does, and why that is fair, stands at the head of the bench's source. Times on a shared machine
vary by some per cent from run to run; ratios vary less, and counts of instructions not at all.

";

pub(crate) fn write(results: &Results, machine: &str) -> String {
    let mut text = format!("{HEAD}{machine}");
    for note in &results.notes {
        text += &format!("* outside of Cargo: {note}\n");
    }
    text += READING;
    for group in &GROUPS {
        let rows = results.of(group.name);
        if !rows.is_empty() {
            text += &section(group, &rows);
        }
    }
    text + &counts(results)
}

fn section(group: &Group, rows: &[Row]) -> String {
    let Group {
        name,
        title,
        what,
        source,
        ..
    } = group;
    let mut text = format!(
        "## {title}\n\n`{name}`, [benches/{source}.rs](../benches/{source}.rs): {what}.\n\n\
         ![{title}](benchmarks/{name}.svg)\n\n"
    );
    let has_sizes = rows.iter().any(|row| !row.size.is_empty());
    let mut columns: Vec<&str> = Vec::new();
    for (name, _) in rows.iter().flat_map(|row| &row.beside) {
        if !columns.contains(&name.as_str()) {
            columns.push(name);
        }
    }
    let mut head = Vec::new();
    if has_sizes {
        head.push(group.size);
    }
    head.extend(["", "median", "times the limit", "times sedge"]);
    head.extend(&columns);
    text += &line(&head.iter().map(|&cell| cell.to_owned()).collect::<Vec<_>>());
    text += &line(&vec!["---".to_owned(); head.len()]);
    for row in rows {
        let mut cells = Vec::new();
        if has_sizes {
            cells.push(row.size.clone());
        }
        let is_limit = group.limit == Some(row.peer.as_str());
        let mark = if is_limit { "**" } else { "" };
        cells.push(format!("{mark}{}{mark}", row.peer));
        cells.push(figure(group.unit, row.median));
        let limit_size = group.limit_size.unwrap_or(&row.size);
        cells.push(ratio(row, rows, group.limit, limit_size));
        cells.push(ratio(row, rows, Some("sedge"), &row.size));
        for column in &columns {
            let value = row.beside.iter().find(|(name, _)| name == column);
            cells.push(value.map_or(String::new(), |(_, value)| plain(*value)));
        }
        text += &line(&cells);
    }
    text + "\n"
}

fn line(cells: &[String]) -> String {
    format!("| {} |\n", cells.join(" | "))
}

/// What a row is to that of `peer` with `size`; empty if there is none.
fn ratio(row: &Row, rows: &[Row], peer: Option<&str>, size: &str) -> String {
    let is_it = |other: &&Row| other.size == size && Some(other.peer.as_str()) == peer;
    let other = rows.iter().find(is_it);
    other.map_or(String::new(), |other| {
        let ratio = row.median / other.median;
        if ratio < 10.0 {
            format!("{ratio:.2}")
        } else {
            plain(ratio)
        }
    })
}

/// With its unit.
pub(crate) fn figure(unit: Unit, value: f64) -> String {
    match unit {
        Unit::Bytes => format!("{} B", plain(value)),
        Unit::Time if value < 1e3 => format!("{} ns", plain(value)),
        Unit::Time if value < 1e6 => format!("{} us", plain(value / 1e3)),
        Unit::Time => format!("{} ms", plain(value / 1e6)),
    }
}

/// Three digits that count, or all of those before the point.
fn plain(value: f64) -> String {
    match value.abs() {
        value if value < 10.0 => format!("{value:.2}"),
        value if value < 100.0 => format!("{value:.1}"),
        value => format!("{value:.0}"),
    }
}

fn counts(results: &Results) -> String {
    if results.counts.is_empty() {
        return String::new();
    }
    let mut text = String::from(
        "## Instructions\n\nCounted by Valgrind outside of the kernel \
         ([benches/counts.sh](../benches/counts.sh)): these repeat exactly, and the checks fail \
         when one grows by more than 3 %.\n\n| | instructions |\n| --- | --- |\n",
    );
    for (verb, count) in &results.counts {
        let what = match verb.as_str() {
            "switch" => "a switch between two green threads that yield",
            "spawn" => "a spawn and its join",
            "park" => "an unpark, the switch to it, and its park",
            "echo" => "a TCP round trip, client and server together",
            other => other,
        };
        text += &format!("| {what} | {count} |\n");
    }
    text
}
