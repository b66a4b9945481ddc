//! The flows as tables: for people, for a spreadsheet, for a change request.

use super::flows::{Direction, Flow};
use crate::cli::terminal::{Palette, Table, Tone, cell, harmless};

const HEADINGS: [&str; 6] = ["direction", "from", "to", "protocol", "port", "for"];

fn cells(flow: &Flow) -> [String; 6] {
    let here = flow.local.map_or_else(|| "relay".to_owned(), |local| local.to_string());
    let there = flow.peers.to_string();
    let (direction, from, to) = match flow.direction {
        Direction::In => ("in", there, here),
        Direction::Out => ("out", here, there),
    };
    [direction.to_owned(), from, to, flow.protocol.as_str().to_owned(), flow.port.to_string(), flow.purpose.clone()]
}

pub(super) fn human(flows: &[Flow], palette: Palette) -> String {
    let mut table = Table::new(HEADINGS);
    for flow in flows {
        let [direction, from, to, protocol, port, purpose] = cells(flow).map(|text| harmless(&text));
        table.row([
            direction.into(),
            cell(Tone::Strong, from),
            cell(Tone::Strong, to),
            protocol.into(),
            port.into(),
            purpose.into(),
        ]);
    }
    table.text(palette)
}

/// RFC 4180, with a heading line. A text that a spreadsheet would take as a formula is quoted with a leading apostrophe.
pub(super) fn csv(flows: &[Flow]) -> String {
    let quoted = |text: String| {
        let text = if text.starts_with(['=', '+', '-', '@']) { format!("'{text}") } else { text };
        if text.contains([',', '"', '\r', '\n']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
    };
    let line = |cells: [String; 6]| cells.map(quoted).join(",") + "\r\n";
    let rows = flows.iter().map(|flow| line(cells(flow)));
    std::iter::once(line(HEADINGS.map(str::to_owned))).chain(rows).collect()
}

pub(super) fn markdown(flows: &[Flow]) -> String {
    let line = |cells: [String; 6]| {
        format!("| {} |\n", cells.map(|text| text.replace('|', "\\|").replace(['\r', '\n'], " ")).join(" | "))
    };
    let head = [line(HEADINGS.map(str::to_owned)), line(HEADINGS.map(|_| "---".to_owned()))];
    head.into_iter().chain(flows.iter().map(|flow| line(cells(flow)))).collect()
}
