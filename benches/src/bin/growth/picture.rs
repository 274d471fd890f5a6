//! The figures as a picture: three charts side by side, sizes on logarithmic scales.

use std::ops::Range;
use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;
use vilicus_benches::Failure;

use crate::size::Cost;

const PICTURE: (u32, u32) = (1200, 360);
const COLOR: RGBColor = RGBColor(0x1f, 0x6f, 0xb5);

/// One chart: what it shows, and of which sizes.
struct Chart<'a> {
    title: &'a str,
    across: &'a str,
    points: Vec<(f64, f64)>,
    /// Whether the values grow with the size, and so stand on a logarithmic scale, too.
    grows: bool,
}

/// Draws what checks cost in memory, and what a result costs with more checks and with more agents.
pub(crate) fn draw(file: &Path, checks: &[Cost], agents: &[Cost]) -> Result<(), Failure> {
    let of_checks = |value: fn(&Cost) -> f64| -> Vec<(f64, f64)> {
        checks.iter().map(|cost| (cost.size.checks() as f64, value(cost))).collect()
    };
    let of_agents = agents.iter().map(|cost| (cost.size.agents as f64, cost.cpu_s_per_million)).collect();
    let charts = [
        Chart { title: "Memory, MiB", across: "checks", points: of_checks(Cost::mebibytes), grows: true },
        Chart {
            title: "CPU s for 1M results, batches of 100",
            across: "checks",
            points: of_checks(|cost| cost.cpu_s_per_million),
            grows: false,
        },
        Chart {
            title: "CPU s for 1M results, batches of 10",
            across: "agents",
            points: of_agents,
            grows: false,
        },
    ];
    let root = SVGBackend::new(file, PICTURE).into_drawing_area();
    root.fill(&WHITE)?;
    for (chart, area) in charts.iter().filter(|chart| !chart.points.is_empty()).zip(root.split_evenly((1, 3)))
    {
        chart.draw(&area)?;
    }
    root.present()?;
    Ok(())
}

impl Chart<'_> {
    fn draw(&self, area: &DrawingArea<SVGBackend<'_>, Shift>) -> Result<(), Failure> {
        let sizes = around(self.points.iter().map(|(size, _)| *size)).log_scale();
        let mut builder = ChartBuilder::on(area);
        builder
            .caption(self.title, ("sans-serif", 18))
            .margin(12)
            .x_label_area_size(40)
            .y_label_area_size(55);
        let values = self.points.iter().map(|(_, value)| *value);
        let dots = || self.points.iter().map(|point| Circle::new(*point, 4, COLOR.filled()));
        let line = || LineSeries::new(self.points.iter().copied(), COLOR.stroke_width(2));
        if self.grows {
            let mut chart = builder.build_cartesian_2d(sizes, around(values).log_scale())?;
            chart
                .configure_mesh()
                .x_desc(self.across)
                .x_label_formatter(&count)
                .y_label_formatter(&count)
                .draw()?;
            chart.draw_series(line())?;
            chart.draw_series(dots())?;
        } else {
            let mut chart = builder.build_cartesian_2d(sizes, 0.0..values.fold(0.0, f64::max) * 1.25)?;
            chart.configure_mesh().x_desc(self.across).x_label_formatter(&count).draw()?;
            chart.draw_series(line())?;
            chart.draw_series(dots())?;
        }
        Ok(())
    }
}

/// The powers of ten around all values: where a logarithmic scale has its labels.
fn around(values: impl Iterator<Item = f64> + Clone) -> Range<f64> {
    let (least, most) = (values.clone().fold(f64::MAX, f64::min), values.fold(0.0, f64::max));
    10_f64.powf(least.log10().floor())..10_f64.powf(most.log10().ceil())
}

/// A whole number, short.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "plotters hands out references")]
fn count(number: &f64) -> String {
    match *number {
        number if number >= 1e6 => format!("{}M", number / 1e6),
        number if number >= 1e3 => format!("{}k", number / 1e3),
        number => format!("{number}"),
    }
}
