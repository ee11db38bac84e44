//! Repeats a year of orders with other members, ids and days.

use anyhow::Context as _;
use chrono::TimeDelta;
use jangbogo_events::{Data, Event, MemberId, OrderId, derived_id};

/// Whole weeks, so that the day of the week is kept.
const DAYS_OF_YEAR: i64 = 52 * 7;

/// The order or cancellation moved to a number of years earlier. Fails if an id becomes too long.
pub fn repeated(event: &Event, repetition: u64) -> anyhow::Result<Event> {
    let mut event = event.clone();
    let earlier = TimeDelta::days(DAYS_OF_YEAR * i64::try_from(repetition)?);
    let time = event.envelope.time.checked_sub_signed(earlier);
    event.envelope.time = time.context("the time is out of range")?;
    event.envelope.id = derived_id(&["bench", &event.envelope.id, &repetition.to_string()]).to_string();
    let member = |id: &MemberId| MemberId::new(format!("{}-{repetition}", &**id)).context("a member's id");
    let order = |id: &OrderId| OrderId::new(format!("{}-{repetition}", &**id)).context("an order's id");
    match &mut event.data {
        Data::OrderCompleted(completed) => {
            completed.order_id = order(&completed.order_id)?;
            completed.member_id = completed.member_id.as_ref().map(member).transpose()?;
        }
        Data::OrderCancelled(cancelled) => {
            cancelled.cancellation_id = order(&cancelled.cancellation_id)?;
            cancelled.order_id = cancelled.order_id.as_ref().map(order).transpose()?;
            cancelled.member_id = cancelled.member_id.as_ref().map(member).transpose()?;
        }
        _ => {}
    }
    Ok(event)
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use jangbogo_events::{Envelope, EventType};

    use super::*;

    #[test]
    fn another_year_has_other_members_numbers_and_days_and_the_same_lines() {
        let time = DateTime::parse_from_rfc3339("2010-12-01T08:26:00Z").unwrap().to_utc();
        let event = Event { envelope: Envelope::new("1", "example", time), data: EventType::OrderCompleted.example() };
        let Data::OrderCompleted(before) = &event.data else { panic!() };
        let again = repeated(&event, 2).unwrap();
        let Data::OrderCompleted(after) = &again.data else { panic!() };
        assert_eq!((&*after.order_id, after.member_id.as_deref()), ("489434-2", Some("13085-2")));
        assert_eq!(after.items, before.items);
        assert_eq!(again.envelope.time.to_rfc3339(), "2008-12-03T08:26:00+00:00");
        assert_ne!(again.envelope.id, event.envelope.id);
        assert_eq!(again, repeated(&event, 2).unwrap());
    }
}
