//! A reactor, run against an in-memory log: it greets the member who opens a conversation.
//!
//! `cargo run -p jangbogo-examples --example reactor`
//!
//! In the product a reactor implements `jangbogo_react::Reactor`; the engine reads its inputs from Kafka, opens a
//! snapshot of its processor's rows and produces its outputs as below.

use std::collections::HashSet;
use std::error::Error;

use chrono::{DateTime, TimeDelta};
use jangbogo_events::{
    ConversationCreated, Data, Envelope, Event, MemberId, MessageCreated, Payload as _, Role, Text, derived_id,
};
use uuid::Uuid;

/// `ce_source` of its events.
const REACTOR: &str = "example.greet";
/// The name of its effect: a part of its outputs' ids.
const EFFECT: &str = "greet";

/// The effect: from an input and the state of the projections to the data of its outputs. It may call a model, and its
/// result need not be the same each time.
fn react(input: &Event, attempt: u32) -> Result<Vec<Data>, Box<dyn Error>> {
    let Data::ConversationCreated(opened) = &input.data else { return Ok(Vec::new()) };
    let greeting = MessageCreated {
        message_id: derived_id(&[EFFECT, &opened.conversation_id.to_string()]),
        conversation_id: opened.conversation_id,
        member_id: opened.member_id.clone(),
        role: Role::Ai,
        content: Text::new(format!("Hello {}! (attempt {attempt})", opened.member_id.as_str()))?,
        ..MessageCreated::example()
    };
    Ok(vec![greeting.into()])
}

/// Ids are derived from reactor, effect and input: the events of a repeated effect have the same ids.
fn outputs(input: &Envelope, data: Vec<Data>) -> impl Iterator<Item = Event> {
    data.into_iter().enumerate().map(|(ordinal, data)| {
        let id = derived_id(&[REACTOR, EFFECT, &input.source, &input.id, &ordinal.to_string()]);
        let mut envelope = Envelope::new(id.to_string(), REACTOR, input.time + TimeDelta::milliseconds(1));
        envelope.causation_id = Some(input.id.clone());
        Event { envelope, data }
    })
}

fn main() -> Result<(), Box<dyn Error>> {
    let (conversation_id, member_id) = (Uuid::from_u128(1), MemberId::new("mina")?);
    let opened = ConversationCreated { conversation_id, member_id, title: None };
    let mut log = vec![Event::new(Envelope::new("1", "gateway", DateTime::UNIX_EPOCH), opened)];

    // Delivery is at least once: a reactor that was killed before it committed its offset reads its input again.
    for attempt in 1..=2 {
        let data = react(&log[0], attempt)?;
        let produced: Vec<Event> = outputs(&log[0].envelope, data).collect();
        log.extend(produced);
    }

    // Every fold counts the first event of an id only: the effect was repeated, its result counts once.
    let mut seen = HashSet::new();
    log.retain(|event| seen.insert(event.envelope.hash()));
    for Event { envelope, data } in &log {
        println!("{} {}: {}", envelope.source, envelope.id, String::from_utf8(data.to_json()?)?);
    }
    assert_eq!(log.len(), 2, "one input, one output");
    Ok(())
}
