//! `replay dead-letters list` and `show`.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{self, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, SecondsFormat, Utc};
use clap::Args;
use comfy_table::presets::NOTHING;
use comfy_table::{Attribute, Cell, Table};
use jangbogo_consume::dead_letter::DeadLetter;
use jangbogo_platform::config::Connections;
use serde_json::{Value, json};

use super::find::{DecidedDeadLetter, Finder, find_ids};
use super::select::{DeadLetterId, Filter, Selection};

/// Lists dead letters: the open ones, or those that match the filters
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  jangbogo replay dead-letters list
  jangbogo replay dead-letters list --group recommendation --cause ahead --since 2026-01-31T00:00:00Z
  jangbogo replay dead-letters list --status all --json | jq -r .cause | sort | uniq -c

The time is when the record was appended to its own topic.")]
pub struct ListArguments {
    /// Print a JSON object per line, with the whole cause and the decision
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    filter: Filter,
}

/// Shows dead letters in full: cause, headers, key and value
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  jangbogo replay dead-letters show recommendation/order-completed/3/1042
  jangbogo replay dead-letters show recommendation/order-completed/3/1042 --json | jq .value")]
pub struct ShowArguments {
    /// Dead letters by id: GROUP/TOPIC/PARTITION/OFFSET
    #[arg(value_name = "ID", required = true)]
    ids: Vec<DeadLetterId>,
    /// Print a JSON object per line; bytes that are not UTF-8 are in base64
    #[arg(long)]
    json: bool,
}

/// Length of a cause in the table.
const CAUSE_CHARACTERS: usize = 80;

pub async fn list(arguments: &ListArguments, connections: &Connections) -> anyhow::Result<()> {
    let mut finder = Finder::open(connections, Selection::Matching(arguments.filter.clone())).await?;
    let mut table = Table::new();
    let header = ["ID", "STATUS", "APPENDED", "CAUSE"];
    table.load_preset(NOTHING).set_header(header.map(|title| Cell::new(title).add_attribute(Attribute::Bold)));
    let mut is_empty = true;
    while let Some(found) = finder.next().await? {
        is_empty = false;
        if arguments.json {
            if !print(&format!("{}\n", summary(&found)))? {
                return Ok(());
            }
            continue;
        }
        let appended = time(found.dead_letter.appended_at);
        table.add_row([
            found.id().to_string(),
            found.status().to_string(),
            appended,
            shortened(&found.dead_letter.cause),
        ]);
    }
    if is_empty {
        eprintln!("no dead letter matches");
    } else if !arguments.json {
        print(&format!("{}\n", table.trim_fmt()))?;
    }
    Ok(())
}

pub async fn show(arguments: &ShowArguments, connections: &Connections) -> anyhow::Result<()> {
    let ids: BTreeSet<DeadLetterId> = arguments.ids.iter().cloned().collect();
    let selection = Selection::Ids(ids);
    find_ids(connections, &selection).await?;
    let mut finder = Finder::open(connections, selection).await?;
    while let Some(found) = finder.next().await? {
        let text = if arguments.json { format!("{}\n", details(&found)) } else { page(&found) };
        if !print(&text)? {
            return Ok(());
        }
    }
    Ok(())
}

/// Prints a result; false if the pipe is closed (`| head`), which is no failure.
fn print(text: &str) -> io::Result<bool> {
    let mut output = io::stdout().lock();
    match output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        written => written.map(|()| true),
    }
}

fn time(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// The beginning of a cause, on one line.
fn shortened(cause: &str) -> String {
    let cause = printable(cause);
    if cause.chars().count() <= CAUSE_CHARACTERS {
        return cause;
    }
    cause.chars().take(CAUSE_CHARACTERS - 1).chain(['…']).collect()
}

/// Escapes control characters, so that text of unknown origin cannot control the terminal.
fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() { shown.extend(character.escape_default()) } else { shown.push(character) }
    }
    shown
}

fn summary(found: &DecidedDeadLetter) -> Value {
    let DeadLetter { group, position: (partition, offset), cause, appended_at, .. } = &found.dead_letter;
    let decision = found.decision.as_ref().map(
        |decision| json!({ "group": decision.group, "time": time(decision.decided_at), "reason": decision.reason }),
    );
    json!({
        "id": found.id().to_string(),
        "group": group,
        "topic": partition.topic,
        "partition": partition.number,
        "offset": offset,
        "status": found.status().to_string(),
        "appended": time(*appended_at),
        "cause": cause,
        "decision": decision,
    })
}

fn details(found: &DecidedDeadLetter) -> Value {
    let DeadLetter { key, value, headers, .. } = &found.dead_letter;
    let mut details = summary(found);
    details["key"] = key.as_deref().map_or(Value::Null, text_or_base64);
    // A list, since a name may occur more than once.
    let text_or_null = |bytes: Option<&[u8]>| bytes.map_or(Value::Null, text_or_base64);
    let header = |(name, value): &(String, _)| json!({ "name": name, "value": text_or_null(Option::as_deref(value)) });
    details["headers"] = headers.iter().map(header).collect();
    details["value"] = match value.as_deref() {
        Some(value) => serde_json::from_slice(value).unwrap_or_else(|_| text_or_base64(value)),
        None => Value::Null,
    };
    details
}

fn text_or_base64(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => json!({ "base64": STANDARD.encode(bytes) }),
    }
}

/// A dead letter in full, for a terminal.
fn page(found: &DecidedDeadLetter) -> String {
    let DeadLetter { cause, appended_at, key, value, headers, .. } = &found.dead_letter;
    let mut lines = vec![format!("{} {}", found.id(), found.status())];
    lines.push(format!("  cause     {}", printable(cause)));
    lines.push(format!("  appended  {}", time(*appended_at)));
    if let Some(decision) = &found.decision {
        let reason = decision.reason.as_ref().map(|reason| format!(": {}", printable(reason))).unwrap_or_default();
        lines.push(format!(
            "  {:<9} {} for {}{reason}",
            found.status().to_string(),
            time(decision.decided_at),
            decision.group
        ));
    }
    lines.push(format!("  key       {}", key.as_deref().map_or("none".to_owned(), text)));
    lines.push(format!("  headers   {}", if headers.is_empty() { "none" } else { "" }).trim_end().to_owned());
    let width = headers.iter().map(|(name, _)| name.chars().count()).max().unwrap_or_default();
    for (name, value) in headers {
        let value = value.as_deref().map_or("none".to_owned(), text);
        lines.push(format!("    {:<width$}  {value}", printable(name)));
    }
    match value.as_deref() {
        None => lines.push("  value     none".to_owned()),
        Some(value) => {
            let (kind, shown) = readable(value);
            lines.push(format!("  value     {} bytes, {kind}", value.len()));
            lines.push(shown);
        }
    }
    lines.join("\n") + "\n"
}

/// Text of a key or header value.
fn text(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => printable(text),
        Err(_) => format!("base64 {}", STANDARD.encode(bytes)),
    }
}

/// Indented JSON, else a hex dump of 16 bytes a line.
fn readable(value: &[u8]) -> (&'static str, String) {
    let json = serde_json::from_slice::<Value>(value).and_then(|value| serde_json::to_string_pretty(&value));
    if let Ok(json) = json {
        return ("JSON", json.lines().map(printable).collect::<Vec<_>>().join("\n"));
    }
    let mut dump = String::with_capacity(value.len() * 5);
    for (line, bytes) in value.chunks(16).enumerate() {
        let hex: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let characters: String =
            bytes.iter().map(|byte| if (b' '..=b'~').contains(byte) { char::from(*byte) } else { '.' }).collect();
        // Writing to a string cannot fail.
        let _ = writeln!(dump, "{:08x}  {:<47}  {characters}", line * 16, hex.join(" "));
    }
    ("not JSON", dump.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_not_json_are_dumped() {
        let (kind, shown) = readable(b"\xff\xfe no headers, no text");
        assert_eq!(kind, "not JSON");
        let first = "00000000  ff fe 20 6e 6f 20 68 65 61 64 65 72 73 2c 20 6e  .. no headers, n";
        assert_eq!(shown.lines().next(), Some(first));
        assert_eq!(shown.lines().nth(1).unwrap().find("o text"), first.find(".. no"));
    }

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(printable("a\u{1b}[2Jb\u{9b}1m 사과"), "a\\u{1b}[2Jb\\u{9b}1m 사과");
        let (_, shown) = readable("{\"name\": \"a\u{9b}1m\"}".as_bytes());
        assert_eq!(shown, "{\n  \"name\": \"a\\u{9b}1m\"\n}");
    }

    #[test]
    fn a_long_cause_is_shortened() {
        assert_eq!(shortened("short"), "short");
        let long = shortened(&"x".repeat(500));
        assert_eq!((long.chars().count(), long.chars().last()), (CAUSE_CHARACTERS, Some('…')));
    }
}
