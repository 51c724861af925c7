//! What `cordee top` draws: pure, from a node's answers to a screen.

use crate::cli::output;
use crate::cli::peers::PeerView;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Block, Gauge, Paragraph, Row, Sparkline, Table, Wrap};
use serde::Deserialize;

/// A node's answers.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) status: Status,
    pub(super) peers: Vec<PeerView>,
}

/// The part of a status that is drawn.
#[derive(Debug, Deserialize)]
pub(super) struct Status {
    state: String,
    why: String,
    size: u64,
    target: Option<Target>,
    pub(super) ops_per_s: f64,
    eta_s: Option<f64>,
    peers: u64,
    checkpoint_age_s: Option<f64>,
    peer_id: String,
}

#[derive(Debug, Deserialize)]
struct Target {
    start: u64,
    end: u64,
    height: Option<u64>,
}

/// Draw it. `rates`: operations a second at the looks so far; `trouble`: why the last look failed.
pub(super) fn draw(frame: &mut Frame<'_>, shown: &Shown, rates: &[u64], trouble: Option<&str>) {
    let Shown { status, peers } = shown;
    let rows = [
        Constraint::Length(1),
        Constraint::Length(2),
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Length(6),
        Constraint::Min(3),
        Constraint::Length(1),
    ];
    let [head, why, bar, facts, plot, table, foot] = Layout::vertical(rows).areas(frame.area());
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let title = format!("cordee  {}  {}", status.state, status.peer_id);
    frame.render_widget(Line::styled(title, bold), head);
    let said = trouble.map_or_else(|| status.why.clone(), |trouble| format!("no answer: {trouble}"));
    frame.render_widget(Paragraph::new(said).wrap(Wrap { trim: true }), why);
    let (start, end) = status
        .target
        .as_ref()
        .map_or((0, 0), |target| (target.start, target.end));
    let (done, all) = (status.size.saturating_sub(start), end.saturating_sub(start));
    let share = if all > 0 {
        (done as f64 / all as f64).clamp(0.0, 1.0)
    } else {
        0.0
    };
    let label = format!("{} of {end} operations, {:.1} %", status.size, share * 100.0);
    frame.render_widget(Gauge::default().ratio(share).label(label), bar);
    frame.render_widget(Line::raw(numbers(status)), facts);
    let most = rates.iter().max().copied().unwrap_or(0);
    let named = Block::bordered().title(format!("operations a second, at most {most}"));
    let room = usize::from(plot.width.saturating_sub(2));
    let newest = &rates[rates.len().saturating_sub(room)..];
    frame.render_widget(Sparkline::default().block(named).data(newest), plot);
    frame.render_widget(peer_table(peers, bold), table);
    frame.render_widget(Line::raw("q ends"), foot);
}

fn numbers(status: &Status) -> String {
    let mut text = format!("{:.0}/s", status.ops_per_s);
    if let Some(eta) = status.eta_s.filter(|_| status.state == "syncing") {
        text += &format!("   {} more", output::time(eta));
    }
    text += &format!("   peers {}", status.peers);
    let height = status.target.as_ref().and_then(|target| target.height);
    if let (Some(height), Some(age)) = (height, status.checkpoint_age_s) {
        text += &format!("   checkpoint {height}, {} old", output::time(age));
    }
    text
}

/// The banned and the busy first.
fn peer_table(peers: &[PeerView], bold: Style) -> Table<'_> {
    let mut order: Vec<_> = peers.iter().collect();
    order.sort_by_key(|peer| (peer.state != "banned", peer.in_flight == 0, peer.ops == 0));
    let rows = order.into_iter().map(|peer| {
        let end = peer.peer_id.len().saturating_sub(8);
        let why = match (&peer.ban_reason, peer.recent_offences.last()) {
            (Some(reason), Some(last)) => format!("banned: {reason}; it {}", last.what),
            (Some(reason), None) => format!("banned: {reason}"),
            (None, Some(last)) => format!("it {}", last.what),
            (None, None) => String::new(),
        };
        Row::new([
            format!("..{}", peer.peer_id.get(end..).unwrap_or_default()),
            peer.state.clone(),
            format!("{:.1}", peer.trust),
            peer.rate
                .map_or("unknown".into(), |rate| format!("{:.1} MB/s", rate / 1e6)),
            format!("{} of {}", peer.in_flight, peer.window),
            peer.ops.to_string(),
            peer.refused.to_string(),
            peer.offences.to_string(),
            why,
        ])
    });
    let widths = [10, 9, 6, 11, 9, 10, 7, 8].map(Constraint::Length);
    let widths = widths.into_iter().chain([Constraint::Min(10)]);
    let head = [
        "peer",
        "state",
        "trust",
        "rate",
        "in flight",
        "operations",
        "refused",
        "offences",
        "why",
    ];
    Table::new(rows, widths)
        .header(Row::new(head).style(bold))
        .block(Block::bordered().title(format!("{} peers known", peers.len())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use serde_json::json;

    fn drawn(shown: &Shown, rates: &[u64], trouble: Option<&str>) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(120, 18)).unwrap();
        terminal.draw(|frame| draw(frame, shown, rates, trouble)).unwrap();
        let cells = terminal.backend().buffer().content();
        let rows = cells
            .chunks(120)
            .map(|row| row.iter().map(|cell| cell.symbol()).collect::<String>());
        rows.map(|row| row.trim_end().to_owned()).collect()
    }

    #[test]
    fn a_sync_with_a_liar_is_drawn() {
        let status = json!({ "state": "syncing", "why": "waiting for answers to 3 requests", "size": 150, "peers": 1,
            "target": { "root": "ab", "start": 100, "end": 200, "height": 7 }, "ops_per_s": 25.0, "eta_s": 2.0,
            "checkpoint_age_s": 61.0, "peer_id": "12D3KooWNode", "more": 1 });
        let peers = json!([
            { "peer_id": "12D3KooWHonest00", "state": "ready", "trust": 6.5, "rate": 2.5e6, "window": 4, "in_flight": 3,
              "ops": 50, "refused": 0, "offences": 0, "ban_reason": null, "recent_offences": [] },
            { "peer_id": "12D3KooWLiar0000", "state": "banned", "trust": -50.0, "rate": null, "window": 1, "in_flight": 0,
              "ops": 0, "refused": 1, "offences": 1, "ban_reason": "lie",
              "recent_offences": [{ "reason": "lie", "at": 1.0, "what": "gave an answer that fails verification" }] },
        ]);
        let mut shown = Shown {
            status: serde_json::from_value(status).unwrap(),
            peers: serde_json::from_value(peers).unwrap(),
        };
        let rows = drawn(&shown, &[0, 10, 50, 25], None);
        for (row, expected) in [
            (0, "cordee  syncing  12D3KooWNode"),
            (1, "waiting for answers to 3 requests"),
            (3, "150 of 200 operations, 50.0 %"),
            (4, "25/s   2s more   peers 1   checkpoint 7, 1m 1s old"),
            (5, "operations a second, at most 50"),
            (11, "2 peers known"),
            (12, "peer       state     trust  rate"),
            (
                13,
                "..Liar0000 banned    -50.0  unknown     0 of 1    0          1       1        banned: lie; it gave",
            ),
            (
                14,
                "..Honest00 ready     6.5    2.5 MB/s    3 of 4    50         0       0",
            ),
        ] {
            assert!(rows[row].contains(expected), "row {row}: {rows:#?}");
        }
        assert!(rows[9].contains('█') || rows[8].contains('█'), "{rows:#?}");
        // A node that has gone, one without a target, and a screen with no room are no trouble.
        assert!(drawn(&shown, &[0; 500], Some("connection refused"))[1].starts_with("no answer: connection"));
        shown.status.target = None;
        assert!(drawn(&shown, &[], None)[3].contains("150 of 0 operations, 0.0 %"));
        let mut small = Terminal::new(TestBackend::new(3, 2)).unwrap();
        small.draw(|frame| draw(frame, &shown, &[1], None)).unwrap();
    }
}
