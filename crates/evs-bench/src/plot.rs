//! The report as plots: SVG for pages, PNG for whatever shows nothing else.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::{FontStyle, register_font};

use crate::plan::{Client, Guarantee, Key, Metric, Position, System, Workload};
use crate::report::Report;

/// Draws everything that a report has figures for, and returns the names of the plots.
///
/// # Errors
/// The font is missing, or a file cannot be written.
pub fn draw_all(report: &Report, font: &Path, dir: &Path) -> anyhow::Result<Vec<String>> {
    let bytes = fs::read(font).with_context(|| font.display().to_string())?;
    // The library keeps it as long as the process lives.
    register_font("sans-serif", FontStyle::Normal, Vec::leak(bytes))
        .map_err(|_| anyhow!("{} is no font", font.display()))?;
    let plots: Vec<_> = plots(report).into_iter().filter(|plot| !plot.series.is_empty()).collect();
    for plot in &plots {
        let path = |extension| dir.join(format!("{}.{extension}", plot.name));
        draw(&SVGBackend::new(&path("svg"), SIZE).into_drawing_area(), plot)?;
        draw(&BitMapBackend::new(&path("png"), SIZE).into_drawing_area(), plot)?;
    }
    Ok(plots.into_iter().map(|plot| plot.name).collect())
}

/// What is drawn: a line for each system, both axes logarithmic.
#[derive(Clone, Debug, PartialEq)]
struct Plot {
    name: String,
    title: String,
    across: &'static str,
    up: &'static str,
    /// Whether the points of a system belong together.
    has_lines: bool,
    /// What stands at which place of the horizontal axis.
    marks: Vec<(f64, String)>,
    series: Vec<Series>,
}

#[derive(Clone, Debug, PartialEq)]
struct Series {
    system: System,
    client: Client,
    points: Vec<(f64, f64)>,
}

fn plots(report: &Report) -> Vec<Plot> {
    let mut plots = Vec::new();
    let sizes = "bytes in a message";
    for (workload, how) in
        [(Workload::ThroughputOne, "node 1 sends"), (Workload::ThroughputAll, "all nodes send")]
    {
        let shown = Shown { report, workload, nodes: None, size: None };
        let title = |what: &str| format!("{what}: {how}, 3 nodes, agreed");
        let at = Position::Slowest;
        plots.push(shown.by_size("megabytes", title("Throughput"), sizes, "MB/s", at));
        plots.push(shown.by_size("messages", title("Throughput"), sizes, "messages/s", at));
        let at = Position::Daemons;
        let up = "CPU seconds of the daemons for a million messages";
        plots.push(shown.by_size("cpu", title("Cost"), sizes, up, at));
        let by_nodes = Shown { size: Some(200), ..shown };
        plots.push(by_nodes.by_nodes(how));
    }
    for (workload, how) in
        [(Workload::LatencyOne, "one in flight"), (Workload::LatencyRate, "1,000 messages/s")]
    {
        let shown = Shown { report, workload, nodes: None, size: None };
        let title = |what: &str| format!("Latency at the sender, {what}: {how}, 3 nodes, agreed");
        let at = Position::Sender;
        plots.push(shown.by_size("p50", title("p50"), sizes, "µs", at));
        plots.push(shown.by_size("p99", title("p99"), sizes, "µs", at));
    }
    plots.push(failures(report));
    plots
}

/// A workload's figures.
#[derive(Clone, Copy)]
struct Shown<'a> {
    report: &'a Report,
    workload: Workload,
    nodes: Option<u8>,
    size: Option<u32>,
}

impl Shown<'_> {
    fn by_size(
        &self,
        what: &str,
        title: String,
        across: &'static str,
        up: &'static str,
        position: Position,
    ) -> Plot {
        let metric = match what {
            "megabytes" => Metric::MegabytesPerSecond,
            "messages" => Metric::MessagesPerSecond,
            "cpu" => Metric::CpuSecondsPerMillion,
            "p50" => Metric::P50Us,
            _ => Metric::P99Us,
        };
        let three = Self { nodes: Some(3), ..*self };
        let series = three.series(position, metric, |key| f64::from(key.size));
        let name = format!("{}-{what}", self.workload);
        Plot { name, title, across, up, has_lines: true, marks: marks(&series), series }
    }

    fn by_nodes(&self, how: &str) -> Plot {
        let metric = Metric::MessagesPerSecond;
        let series = self.series(Position::Slowest, metric, |key| f64::from(key.nodes));
        // One number of nodes alone is no line.
        let series =
            series.into_iter().filter(|series| series.points.len() > 1).collect::<Vec<_>>();
        let name = format!("{}-nodes", self.workload);
        let title = format!("Throughput by nodes: {how}, 200 bytes, agreed");
        let (across, up, marks) = ("nodes", "messages/s", marks(&series));
        Plot { name, title, across, up, has_lines: true, marks, series }
    }

    fn series(
        &self,
        position: Position,
        metric: Metric,
        across: impl Fn(&Key) -> f64,
    ) -> Vec<Series> {
        let mut lines: BTreeMap<(System, Client), Vec<(f64, f64)>> = BTreeMap::new();
        for cell in &self.report.cells {
            let key = &cell.key;
            let wanted = (key.workload, key.guarantee) == (self.workload, Guarantee::Agreed)
                && self.nodes.is_none_or(|nodes| nodes == key.nodes)
                && self.size.is_none_or(|size| size == key.size)
                && (cell.position, cell.metric) == (position, metric);
            if let Some(median) = cell.median.filter(|median| wanted && *median > 0.0) {
                lines.entry((key.system, key.client)).or_default().push((across(key), median));
            }
        }
        let series = lines.into_iter().map(|((system, client), mut points)| {
            points.sort_by(|a, b| a.0.total_cmp(&b.0));
            Series { system, client, points }
        });
        series.collect()
    }
}

/// How long the survivors and the starters wait, a place on the axis for each.
fn failures(report: &Report) -> Plot {
    let workloads = Workload::ALL.iter().filter(|w| w.is_failover() || **w == Workload::Form);
    // The axis is logarithmic: so they stand at equal distances.
    let places: Vec<_> = workloads.zip(1..).map(|(w, i)| (*w, 2f64.powi(i))).collect();
    let mut lines: BTreeMap<System, Vec<(f64, f64)>> = BTreeMap::new();
    for cell in report.cells.iter().filter(|c| c.key.nodes == 3 && c.metric == Metric::Seconds) {
        let place = places.iter().find(|(workload, _)| *workload == cell.key.workload);
        if let (Some((_, place)), Some(median)) = (place, cell.median) {
            lines.entry(cell.key.system).or_default().push((*place, median));
        }
    }
    let series = lines.into_iter().map(|(system, mut points)| {
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        Series { system, client: Client::C, points }
    });
    let series = series.collect();
    Plot {
        name: "failures".to_owned(),
        title: "Until the next configuration, 3 nodes".to_owned(),
        across: "",
        up: "seconds",
        has_lines: false,
        marks: places.iter().map(|(workload, at)| (*at, workload.to_string())).collect(),
        series,
    }
}

fn marks(series: &[Series]) -> Vec<(f64, String)> {
    let mut all: Vec<f64> = series.iter().flat_map(|s| s.points.iter().map(|p| p.0)).collect();
    all.sort_by(f64::total_cmp);
    all.dedup();
    all.into_iter().map(|at| (at, crate::table::figure(at))).collect()
}

fn draw<B: DrawingBackend>(area: &DrawingArea<B, Shift>, plot: &Plot) -> anyhow::Result<()> {
    draw_on(area, plot).map_err(|error| anyhow!("{}: {error}", plot.name))
}

fn draw_on<B: DrawingBackend>(
    area: &DrawingArea<B, Shift>,
    plot: &Plot,
) -> Result<(), DrawingAreaErrorKind<B::ErrorType>> {
    area.fill(&WHITE)?;
    let points = || plot.series.iter().flat_map(|series| series.points.iter());
    let (low, high) = reach(points().map(|point| point.1));
    let at = || plot.marks.iter().map(|mark| mark.0);
    let (left, right) = (at().fold(f64::INFINITY, f64::min) * 0.8, at().fold(0.0, f64::max) * 1.25);
    let mut chart = ChartBuilder::on(area)
        .caption(&plot.title, ("sans-serif", 22))
        .margin(16)
        .margin_right(LEGEND)
        .x_label_area_size(44)
        .y_label_area_size(86)
        .build_cartesian_2d((left..right).log_scale(), (low..high).log_scale())?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(BLACK.mix(0.05))
        .y_desc(plot.up)
        .y_label_formatter(&|value| crate::table::figure(*value))
        .label_style(("sans-serif", 15))
        .set_tick_mark_size(LabelAreaPosition::Bottom, 0)
        .x_labels(0)
        .x_label_formatter(&|_| String::new())
        .draw()?;
    for (place, text) in &plot.marks {
        let style = ("sans-serif", 15).into_font().color(&BLACK);
        let (x, _) = chart.backend_coord(&(*place, low));
        let (width, _) = area.estimate_text_size(text, &style)?;
        area.draw_text(text, &style, (x - pixels(width / 2), pixels(SIZE.1) - 52))?;
    }
    let across = ("sans-serif", 15).into_font().color(&BLACK);
    let (width, _) = area.estimate_text_size(plot.across, &across)?;
    let middle = pixels((SIZE.0 - LEGEND) / 2 - width / 2);
    area.draw_text(plot.across, &across, (middle, pixels(SIZE.1) - 28))?;
    for (series, row) in plot.series.iter().zip(0..) {
        let colour = colour(series.system, series.client);
        let points = series.points.iter().copied();
        if plot.has_lines {
            chart.draw_series(LineSeries::new(points.clone(), colour.stroke_width(2)))?;
        }
        chart.draw_series(points.map(|point| Circle::new(point, 4, colour.filled())))?;
        let (x, y) = (pixels(SIZE.0 - LEGEND) + 14, 70 + 24 * row);
        area.draw(&Circle::new((x, y), 5, colour.filled()))?;
        area.draw_text(&label(series), &across, (x + 12, y - 8))?;
    }
    area.present()
}

/// Whole powers of ten around some figures.
fn reach(figures: impl Iterator<Item = f64>) -> (f64, f64) {
    let (low, high) = figures
        .fold((f64::INFINITY, 0f64), |(low, high), figure| (low.min(figure), high.max(figure)));
    (10f64.powf(low.log10().floor()), 10f64.powf(high.log10().floor() + 1.0))
}

fn label(series: &Series) -> String {
    match series.client {
        Client::Rust => format!("{} (Rust)", series.system),
        Client::C | Client::None => series.system.to_string(),
    }
}

const fn colour(system: System, client: Client) -> RGBColor {
    match (system, client) {
        (System::EvsSealed, Client::Rust) => RGBColor(90, 140, 230),
        (System::EvsSealed, Client::C | Client::None) => RGBColor(0, 60, 200),
        (System::EvsClear, _) => RGBColor(0, 150, 160),
        (System::CorosyncKnetAes256, _) => RGBColor(200, 0, 0),
        (System::CorosyncKnetNone, _) => RGBColor(240, 110, 60),
        (System::CorosyncUdpu, _) => RGBColor(200, 140, 0),
        (System::CorosyncUdp, _) => RGBColor(150, 60, 150),
        (System::RawUdp, _) => RGBColor(150, 150, 150),
        (System::RawUdpGso | System::RawRing, _) => RGBColor(70, 70, 70),
    }
}

fn pixels(count: u32) -> i32 {
    i32::try_from(count).expect("a plot is small")
}

/// Of a plot, in pixels.
const SIZE: (u32, u32) = (1100, 640);

/// What is left for the names beside it.
const LEGEND: u32 = 210;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::{report, value};
    use crate::sample::{Outcome, Sample};

    fn sample(system: System, size: u32, megabytes: f64) -> Sample {
        let (client, guarantee) = (Client::C, Guarantee::Agreed);
        let workload = Workload::ThroughputOne;
        let key = Key { system, client, guarantee, nodes: 3, workload, size };
        let value = value(Position::Slowest, Metric::MegabytesPerSecond, megabytes);
        Sample { key, round: 1, outcome: Outcome::Measured(vec![value]) }
    }

    #[test]
    fn a_system_is_a_line_with_its_sizes_in_order() {
        let report = report(&[
            sample(System::EvsSealed, 1400, 150.0),
            sample(System::EvsSealed, 64, 25.0),
            sample(System::CorosyncUdp, 64, 2.0),
        ]);
        let plots = plots(&report);
        let drawn: Vec<_> = plots.iter().filter(|plot| !plot.series.is_empty()).collect();
        assert_eq!(drawn.len(), 1);
        assert_eq!(drawn[0].name, "throughput-one-megabytes");
        assert_eq!(drawn[0].series[0].points, [(64.0, 25.0), (1400.0, 150.0)]);
        assert_eq!(drawn[0].marks.len(), 2);
    }

    #[test]
    fn the_axis_reaches_to_whole_powers_of_ten() {
        let (low, high) = reach([3.0, 250.0].into_iter());
        assert!((low - 1.0).abs() < 1e-9 && (high - 1000.0).abs() < 1e-9, "{low} {high}");
    }
}
