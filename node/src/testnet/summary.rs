//! The report in words.

use super::followed::{BlowReport, Followed};
use super::node::NETWORK;
use super::report::{LiarReport, Report};
use std::fmt::{self, Write as _};

/// A report as a newcomer reads it.
pub struct Summary<'a>(pub &'a Report);

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(report) = self;
        writeln!(f)?;
        for joiner in &report.joiners {
            match &joiner.error {
                Some(why) => writeln!(f, "{} failed: {why}", joiner.name)?,
                None => writeln!(
                    f,
                    "{} fetched and proved {} operation{} in {:.1} s ({}/s, {:.1} MB) from {}; it refused {}",
                    joiner.name,
                    grouped(report.ops),
                    if report.ops == 1 { "" } else { "s" },
                    joiner.seconds,
                    grouped(joiner.ops_per_s as u64),
                    joiner.bytes_received as f64 / 1e6,
                    counted(joiner.peers_used as u64, "peer"),
                    counted(joiner.refused_batches, "answer"),
                )?,
            }
        }
        writeln!(f, "\n  publisher's root   {}", report.root)?;
        for joiner in &report.joiners {
            let root = joiner.root.as_deref().unwrap_or("none");
            let same = match joiner.ok {
                true if root == report.root => "the same".into(),
                // It has gone on meanwhile.
                true => format!("the publisher's at size {}", grouped(joiner.size)),
                false => "DIFFERENT".into(),
            };
            writeln!(f, "  {:<16}   {root}   {same}", joiner.name)?;
        }
        if !report.liars.is_empty() {
            writeln!(f)?;
        }
        for liar in &report.liars {
            writeln!(f, "  {:<10} {:<18} {}", liar.name, liar.lie, fate(liar))?;
        }
        writeln!(f)?;
        if report.ok {
            let liars = match report.liars.iter().map(|liar| liar.lies_told).sum::<u64>() {
                0 => "no lie was told",
                _ => "every node that told a provable lie is banned",
            };
            writeln!(
                f,
                "OK: every joiner has the publisher's database, {liars}, and no honest node is banned."
            )?;
        }
        for failure in &report.failures {
            writeln!(f, "FAILED: {failure}")?;
        }
        write!(f, "The same data and lies again: --seed {}", report.seed)
    }
}

/// How all followed, with a line for each node.
pub struct Following<'a>(pub &'a Followed);

impl fmt::Display for Following<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(all) = self;
        writeln!(
            f,
            "\nFollowed for {:.0} s: {} writes/s ({} operations/s), {} checkpoints signed by {} of {} keys",
            all.seconds,
            grouped(all.writes_per_s as u64),
            grouped(all.ops_per_s as u64),
            grouped(all.checkpoints),
            all.threshold,
            all.signers,
        )?;
        writeln!(
            f,
            "\n  {:<12} {:>26} {:>19} {:>8} {:>8} {:>6} {:>6} {:>34}",
            "",
            "seconds behind",
            "operations",
            "CPU",
            "memory",
            "kills",
            "stops",
            "gossip messages for a checkpoint",
        )?;
        writeln!(
            f,
            "  {:<12} {:>8} {:>8} {:>8} {:>9} {:>9} {:>8} {:>8} {:>6} {:>6} {:>17} {:>17}",
            "", "p50", "p99", "max", "p99", "max", "s", "MiB", "", "", "sent", "received",
        )?;
        for node in &all.nodes {
            let (seconds, ops, each) = (&node.lag.seconds, &node.lag.ops, &node.per_checkpoint);
            writeln!(
                f,
                "  {:<12} {:>8.2} {:>8.2} {:>8.2} {:>9} {:>9} {:>8.2} {:>8.1} {:>6} {:>6} {:>6.1} ({:>6.0} B) {:>6.1} ({:>6.0} B)",
                node.name,
                seconds.p50,
                seconds.p99,
                seconds.max,
                grouped(ops.p99),
                grouped(ops.max),
                node.cpu_s,
                node.peak_rss_mib,
                node.kills,
                node.stops,
                each.sent,
                each.sent_bytes,
                each.received,
                each.received_bytes,
            )?;
        }
        let slowest =
            |of: fn(&BlowReport) -> Option<f64>| all.blows.iter().filter_map(of).fold(0.0, f64::max);
        if !all.blows.is_empty() {
            writeln!(
                f,
                "\n  ended and started again {} times: at most {:.1} s to end in order, {:.1} s from the start until all was there",
                all.blows.len(),
                slowest(|blow| blow.ended_s),
                slowest(|blow| blow.back_s),
            )?;
        }
        if all.failures.is_empty() {
            write!(
                f,
                "\nOK: {:.1} s after the last write all are at size {} with root {}",
                all.settled_s,
                grouped(all.size),
                all.root
            )?;
        }
        for failure in &all.failures {
            write!(f, "\nFAILED: {failure}")?;
        }
        Ok(())
    }
}

/// The addresses of a testnet that stays up.
pub struct Addresses<'a>(pub &'a Report);

impl fmt::Display for Addresses<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "\nThe nodes go on running; ctrl-c stops them. Their folders are kept.\n"
        )?;
        for node in &self.0.nodes {
            let http = match &node.http {
                Some(http) => format!("http://{http}/"),
                None => "-".into(),
            };
            writeln!(f, "  {:<12} {http}  {}", node.name, node.data_dir.display())?;
            if let Some(address) = &node.address {
                writeln!(f, "  {:<12} {address}", "")?;
            }
        }
        writeln!(
            f,
            "\nEach URL is a dashboard; with /v1/status, /v1/peers, /metrics behind it, what it shows."
        )?;
        self.join(f)
    }
}

impl Addresses<'_> {
    /// How one more node joins: lines to copy.
    fn join(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(report) = self;
        let Some(address) = report.nodes.first().and_then(|node| node.address.as_deref()) else {
            return Ok(());
        };
        let Report { kind, target, .. } = report;
        match &report.trust {
            Some(trust) => write!(
                f,
                "One more node that follows the publisher, which these trust:\n\n  \
                 cordee init follower --network {NETWORK} --kind {kind}\n  \
                 CORDEE_TRUST__SIGNERS={} CORDEE_TRUST__THRESHOLD={} cordee run -C follower --peer {address} \
                 --listen /ip4/127.0.0.1/tcp/0 --http 127.0.0.1:0",
                trust.signers.join(","),
                trust.threshold
            ),
            None => write!(
                f,
                "One more copy:\n\n  \
                 cordee init copy --network {NETWORK} --kind {kind}\n  \
                 cordee sync -C copy --peer {address} --target {target}"
            ),
        }
    }
}

fn fate(liar: &LiarReport) -> String {
    let times = match liar.lies_told {
        1 => "once".into(),
        n => format!("{n} times"),
    };
    match (liar.lies_told, liar.banned) {
        (0, _) => format!("told no lie: {}", liar.reason),
        (_, true) => format!("lied {times}, banned: {}", liar.reason),
        (_, false) if !liar.provable => format!("lied {times}, not banned: {}", liar.reason),
        (_, false) => format!("lied {times}, NOT banned: {}", liar.reason),
    }
}

/// `1 peer`, `2 peers`.
fn counted(number: u64, what: &str) -> String {
    let s = if number == 1 { "" } else { "s" };
    format!("{number} {what}{s}")
}

/// A number with its thousands apart.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        // Writing to a string cannot fail.
        let _ = out.write_char(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_grouped() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
    }
}
