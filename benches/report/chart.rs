//! A chart for each group: bars, the shorter the better, with their figures beside them.

use std::error::Error;
use std::io;
use std::path::Path;

use plotters::backend::SVGBackend;
use plotters::coord::Shift;
use plotters::drawing::{DrawingArea, IntoDrawingArea};
use plotters::element::{Rectangle, Text};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontStyle, IntoFont, RGBColor, TextStyle, WHITE};

use crate::groups::Group;
use crate::results::Row;
use crate::text::figure;

const WIDTH: i32 = 760;
/// Where bars begin, and the most they take.
const LEFT: i32 = 170;
const LONGEST: i32 = 480;
const LINE: i32 = 24;
const HEAD: i32 = 62;

const INK: RGBColor = RGBColor(40, 40, 40);
const OURS: RGBColor = RGBColor(20, 110, 70);
const LIMIT: RGBColor = RGBColor(120, 120, 120);
const THEIRS: RGBColor = RGBColor(150, 180, 205);

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Draws the rows, which are sorted by size.
pub(crate) fn draw(group: &Group, rows: &[Row], path: &Path) -> io::Result<()> {
    let panels: Vec<&[Row]> = rows.chunk_by(|a, b| a.size == b.size).collect();
    let height = HEAD + (rows.len() + 2 * panels.len()) as i32 * LINE;
    let area = SVGBackend::new(path, (WIDTH as u32, height as u32)).into_drawing_area();
    fill(group, rows, &panels, &area).map_err(|error| io::Error::other(error.to_string()))
}

fn fill(
    group: &Group,
    rows: &[Row],
    panels: &[&[Row]],
    area: &Area<'_>,
) -> Result<(), Box<dyn Error>> {
    area.fill(&WHITE)?;
    let scale = Scale::of(rows);
    write(area, (16, 22), group.title, 22, HPos::Left, true)?;
    let note = if scale.is_logarithmic {
        format!("{}; shorter is better; logarithmic scale", group.what)
    } else {
        format!("{}; shorter is better", group.what)
    };
    write(area, (16, 44), &note, 16, HPos::Left, false)?;
    let mut y = HEAD + LINE / 2;
    for panel in panels {
        if !panel[0].size.is_empty() {
            let size = format!("{} {}", panel[0].size, group.size);
            write(area, (LEFT, y), &size, 16, HPos::Left, true)?;
        }
        y += LINE;
        for row in *panel {
            bar(group, row, &scale, area, y)?;
            y += LINE;
        }
        y += LINE;
    }
    area.present()?;
    Ok(())
}

fn bar(
    group: &Group,
    row: &Row,
    scale: &Scale,
    area: &Area<'_>,
    y: i32,
) -> Result<(), Box<dyn Error>> {
    let is_ours = row.peer.starts_with("sedge");
    let color = match row.peer.as_str() {
        peer if Some(peer) == group.limit => LIMIT,
        _ if is_ours => OURS,
        _ => THEIRS,
    };
    let end = LEFT + scale.length(row.median);
    let corners = [(LEFT, y - 8), (end, y + 8)];
    area.draw(&Rectangle::new(corners, color.filled()))?;
    let name = match row.peer.as_str() {
        peer if Some(peer) == group.limit => format!("{peer} (limit)"),
        peer => peer.to_owned(),
    };
    write(area, (LEFT - 8, y), &name, 16, HPos::Right, is_ours)?;
    let value = figure(group.unit, row.median);
    write(area, (end + 6, y), &value, 16, HPos::Left, is_ours)
}

fn write(
    area: &Area<'_>,
    at: (i32, i32),
    text: &str,
    size: i32,
    side: HPos,
    is_bold: bool,
) -> Result<(), Box<dyn Error>> {
    let weight = if is_bold {
        FontStyle::Bold
    } else {
        FontStyle::Normal
    };
    let font = ("sans-serif", size).into_font().style(weight);
    let style = TextStyle::from(font)
        .color(&INK)
        .pos(Pos::new(side, VPos::Center));
    area.draw(&Text::new(text.to_owned(), at, style))?;
    Ok(())
}

/// How long a bar is for a figure.
struct Scale {
    is_logarithmic: bool,
    from: f64,
    most: f64,
}

impl Scale {
    /// Logarithmic where the shortest bar would not be seen beside the longest.
    fn of(rows: &[Row]) -> Scale {
        let figures = || rows.iter().map(|row| row.median);
        let (least, most) = (
            figures().fold(f64::MAX, f64::min),
            figures().fold(0.0, f64::max),
        );
        Scale {
            is_logarithmic: most > 60.0 * least,
            // So that the shortest has a length.
            from: least / 2.0,
            most,
        }
    }

    fn length(&self, value: f64) -> i32 {
        let share = if self.is_logarithmic {
            (value / self.from).ln() / (self.most / self.from).ln()
        } else {
            value / self.most
        };
        (share * f64::from(LONGEST)).round() as i32
    }
}
